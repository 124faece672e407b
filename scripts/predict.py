"""Classify a picture with each framework's best weights."""

if __name__ == "__main__":  # before all else is loaded, which takes seconds
    from scripts import start

    start.begin()


import warnings
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image, ImageOps

from lenet.data import scale
from lenet.network import CLASS_NAMES, IMAGE_SIDE
from runners.core import store
from runners.core.errors import BadInput
from runners.core.frameworks import FRAMEWORKS
from runners.core.quiet import native_stderr_hidden
from runners.core.record import RunRecord
from runners.core.runner import load_inspector
from scripts import options
from scripts.options import RESULTS, option

FORMATS = ("PNG", "JPEG")
EIGHT_BITS = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK")  # Pillow's modes whose conversions keep the brightness


def predict(
    image: Annotated[Path, typer.Argument(help="a PNG or JPEG of one piece of clothing, any size and colour")],
    results: Annotated[Path, option(RESULTS, "the --out folder of scripts/compare.py", "--from")] = Path(
        "results/default"
    ),
    top: Annotated[int, option(RESULTS, "classes to show", min=1, max=len(CLASS_NAMES))] = 3,
) -> None:
    """Show each framework's top classes for IMAGE, from its weights in RESULTS that had the lowest test loss."""
    with options.exit_codes():
        pixels = scale(read_image(image)[np.newaxis])
        for framework, record in best_runs(results).items():
            checkpoint = store.checkpoint_path(results, record.run_id, framework)
            with native_stderr_hidden():
                (probabilities,) = load_inspector(framework).predict(checkpoint, pixels)
            best = np.argsort(probabilities)[::-1][:top]
            classes = ", ".join(f"{CLASS_NAMES[index]} {probabilities[index]:.1%}" for index in best)
            print(f"{FRAMEWORKS[framework].label:<8} {classes}  ({record.run_id})")


def read_image(path: Path) -> np.ndarray:
    """Read a picture into the form of Fashion-MNIST: uint8 of shape (28, 28), bright clothing on black.

    It is made grey, padded to a square, resized, and inverted if its border is light. Raises BadInput if the file is
    not a PNG or JPEG.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of flaws that it can read past
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as file:
                upright = in_eight_bits(ImageOps.exif_transpose(file)).convert("RGBA")
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise BadInput(f"{path} has more pixels than the {Image.MAX_IMAGE_PIXELS:,} allowed") from error
    except Exception as error:  # a damaged or hostile file may raise anything
        raise BadInput(f"{path} cannot be read as a PNG or JPEG image: {error}") from error
    white = Image.new("RGBA", upright.size, "white")
    grey = Image.alpha_composite(white, upright).convert("L")
    if light_background(np.asarray(grey)):
        grey = ImageOps.invert(grey)
    return np.asarray(ImageOps.pad(grey, (IMAGE_SIDE, IMAGE_SIDE), Image.Resampling.LANCZOS, color=0))


def in_eight_bits(picture: Image.Image) -> Image.Image:
    """Return the picture with 8 bits a channel; raises ValueError for a mode whose range is unknown.

    Pillow takes the high byte of 16-bit colours, but clips 16-bit grey at 255; here grey keeps its high byte too.
    """
    if picture.mode in EIGHT_BITS:
        return picture
    if not picture.mode.startswith("I;16"):
        raise ValueError(f"its pixels are of mode {picture.mode}, not of 8 or 16 bits")
    values = np.asarray(picture)
    grey = Image.fromarray((values >> 8).astype(np.uint8))
    opaque = values != picture.info.get("transparency", -1)  # a PNG may declare one grey transparent
    grey.putalpha(Image.fromarray(opaque.astype(np.uint8) * 255))
    return grey


def light_background(grey: np.ndarray) -> bool:
    """Return whether the border of a grey picture, uint8 of shape (height, width), is light: its median over 127."""
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    return bool(np.median(border) > 127)


def best_runs(results: Path) -> dict[str, RunRecord]:
    """Return, by framework, the completed run with saved weights that had the lowest test loss at any epoch.

    Raises BadInput if no run has saved weights.
    """
    records, _ = store.read_records(results, store.existing_study(results))
    best: dict[str, RunRecord] = {}
    for record in sorted(records, key=lambda r: min((row.test_loss for row in r.epochs), default=np.inf)):
        framework = record.spec.contender.framework
        if record.status == "completed" and store.checkpoint_path(results, record.run_id, framework).exists():
            best.setdefault(framework, record)
    if not best:
        raise BadInput(f"{results} holds no best weights; its study needs a completed run with --checkpoint")
    return dict(sorted(best.items()))


if __name__ == "__main__":
    options.run_app(predict)
