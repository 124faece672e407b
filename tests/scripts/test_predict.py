"""Pictures that people bring: any depth and mode, and files that are none."""

import pickle
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from runners.core import store
from runners.core.errors import BadInput
from runners.core.frameworks import FRAMEWORKS
from scripts.predict import in_eight_bits, predict, read_image
from tests.helpers.processes import run_script
from tests.helpers.trap import Trap
from tests.runners.report.conftest import make_stub_study

GREY, RGB, GREY_ALPHA, RGB_ALPHA = 0, 2, 4, 6  # PNG's colour types
RAMP = np.pad(np.arange(0, 256, 4, dtype=np.uint8).reshape(8, 8), 2)  # on a dark border, so not inverted


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(samples: np.ndarray, depth: int, colour: int, *before: bytes, size: tuple[int, int] | None = None) -> bytes:
    """A PNG as its specification has it, of the bytes of its rows; Pillow writes few of its kinds."""
    rows = b"".join(b"\0" + row.tobytes() for row in samples)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *(size or samples.shape[1::-1]), depth, colour, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(before) + body + chunk(b"IEND", b"")


def channels(*planes: np.ndarray) -> np.ndarray:
    return np.stack(planes, axis=-1)


def in_16_bits(samples: np.ndarray) -> np.ndarray:
    return (samples.astype(np.uint16) * 257).astype(">u2")


OPAQUE = np.full_like(RAMP, 255)
DEEP = {
    "grey": png(in_16_bits(RAMP), 16, GREY),
    "grey-alpha": png(in_16_bits(channels(RAMP, OPAQUE)), 16, GREY_ALPHA),
    "rgb": png(in_16_bits(channels(RAMP, RAMP, RAMP)), 16, RGB),
    "rgb-alpha": png(in_16_bits(channels(RAMP, RAMP, RAMP, OPAQUE)), 16, RGB_ALPHA),
}


def pixels(tmp_path: Path, file: bytes) -> np.ndarray:
    path = tmp_path / "picture"
    path.write_bytes(file)
    return read_image(path).astype(int)


def saved(tmp_path: Path, picture: Image.Image, kind: str = "PNG", **options: object) -> np.ndarray:
    path = tmp_path / "saved"
    picture.save(path, kind, **options)
    return read_image(path).astype(int)


@pytest.mark.parametrize("kind", DEEP)
def test_sixteen_bits_are_seen_as_eight_are(tmp_path: Path, kind: str) -> None:
    expected = pixels(tmp_path, png(RAMP, 8, GREY))
    assert expected.max() - expected.min() > 200
    np.testing.assert_allclose(pixels(tmp_path, DEEP[kind]), expected, atol=1)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_fewer_bits_are_scaled_to_the_range_of_eight(tmp_path: Path, depth: int) -> None:
    top = 2**depth - 1
    levels = np.zeros((8, 8), np.uint8)
    levels[2:6, 2:6] = np.arange(16).reshape(4, 4) % (top + 1)
    bits = np.unpackbits(levels[..., np.newaxis], axis=-1)[..., -depth:]
    packed = np.packbits(bits.reshape(8, -1), axis=1)
    expected = pixels(tmp_path, png(levels * (255 // top), 8, GREY))
    np.testing.assert_allclose(pixels(tmp_path, png(packed, depth, GREY, size=(8, 8))), expected, atol=1)


@pytest.mark.parametrize("depth", [8, 16])
def test_what_is_clear_is_background_in_every_depth(tmp_path: Path, depth: int) -> None:
    """Clear is white, so light, so inverted to black: the grey that is named clear is not seen."""
    clear = np.full((8, 8), 77, np.uint8)
    clear[3:5, 3:5] = 20
    samples, value = (clear, 77) if depth == 8 else (in_16_bits(clear), 77 * 257)
    found = pixels(tmp_path, png(samples, depth, GREY, chunk(b"tRNS", struct.pack(">H", value))))
    assert found[0, 0] == 0
    assert found[14, 14] > 200


@pytest.mark.parametrize(
    ("mode", "kind"), [("P", "PNG"), ("LA", "PNG"), ("RGBA", "PNG"), ("RGB", "JPEG"), ("CMYK", "JPEG")]
)
def test_every_mode_is_seen_as_grey_is(tmp_path: Path, mode: str, kind: str) -> None:
    grey = Image.fromarray(RAMP).resize((48, 48), Image.Resampling.NEAREST)
    picture = grey.convert("RGB").convert(mode) if mode == "CMYK" else grey.convert(mode)
    options = {"quality": 100} if kind == "JPEG" else {}
    np.testing.assert_allclose(saved(tmp_path, picture, kind, **options), saved(tmp_path, grey), atol=4)


def test_the_clear_colour_of_a_palette_is_background(tmp_path: Path) -> None:
    picture = Image.new("P", (8, 8), 0)
    picture.putpalette([10, 10, 10, 30, 30, 30])
    picture.paste(1, (3, 3, 5, 5))
    found = saved(tmp_path, picture, transparency=0)
    assert found[0, 0] == 0
    assert found[14, 14] > 200


@pytest.mark.parametrize("mode", ["I", "F"])
def test_a_mode_of_unknown_range_is_refused(mode: str) -> None:
    with pytest.raises(ValueError, match=f"of mode {mode}"):
        in_eight_bits(Image.new(mode, (4, 4)))


GOOD = png(RAMP, 8, GREY)
NO_PICTURES = {
    "empty": b"",
    "words": b"no picture",
    "cut short": GOOD[: len(GOOD) // 2],
    "cut in its header": GOOD[:20],
    "no pixels": png(RAMP[:0], 8, GREY, size=(0, 0)),
    "text that inflates": png(RAMP, 8, GREY, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**21)))),
    "broken checksum": GOOD[:-20] + bytes(20),
    "chunk of no name": GOOD[:33] + bytes(8) + GOOD[33:],
    "short chunk": png(RAMP, 8, GREY, chunk(b"iCCP", b"")),
    "JPEG of two bytes": b"\xff\xd8",
    "JPEG cut short": b"\xff\xd8\xff\xe0\x00\x10JFIF",
    "too many pixels": png(RAMP, 8, GREY, size=(12_000, 9_000)),
    "far too many pixels": png(RAMP, 8, GREY, size=(120_000, 90_000)),
}


@pytest.mark.parametrize("name", NO_PICTURES)
def test_what_cannot_be_read_is_one_sentence(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(NO_PICTURES[name])
    with pytest.raises(SystemExit, match="2"):
        predict(path, tmp_path)
    said = capsys.readouterr().err
    assert said.startswith(f"error: {path} ")
    assert said.count("\n") == 1


def test_a_folder_is_one_sentence_too(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"cannot be read as a PNG or JPEG image: .*[Dd]irectory"):
        read_image(tmp_path)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_weights_that_are_a_pickle_end_predict_with_a_sentence(tmp_path: Path, framework: str) -> None:
    folder = make_stub_study(tmp_path / "study", contenders=(framework,), seeds=[0])
    path = store.checkpoint_path(folder, f"{framework}-matched-seed0", framework)
    path.parent.mkdir(parents=True)
    path.write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    (tmp_path / "x.png").write_bytes(GOOD)
    done = run_script("predict", tmp_path / "x.png", "--from", folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {path} does not hold this network's ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "sprung").exists()


def test_pillow_warns_of_nothing_on_the_screen(tmp_path: Path) -> None:
    """It would of a picture past its limit, and of an animation without frames, which it reads."""
    (tmp_path / "large.png").write_bytes(NO_PICTURES["too many pixels"])
    with warnings.catch_warnings(record=True, action="always") as told:
        pixels(tmp_path, png(RAMP, 8, GREY, chunk(b"acTL", bytes(8))))
        with pytest.raises(BadInput, match="has more pixels than the 89,478,485 allowed"):
            read_image(tmp_path / "large.png")
    assert told == []
