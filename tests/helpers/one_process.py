"""Does the runs whose specs are given, one after the other in this process, and leaves what became of them in a folder.

Usage: python one_process.py FOLDER TEST_IMAGES SPEC_AS_JSON...
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from lenet import data
from runners.core.frameworks import FRAMEWORKS
from runners.core.record import EpochRow
from runners.core.run import failure, run
from runners.core.spec import RunSpec


def main(folder: Path, test_images: int, specs: list[str]) -> None:
    whole = data.load()
    less = replace(whole, test_images=whole.test_images[:test_images], test_labels=whole.test_labels[:test_images])
    for number, text in enumerate(specs):
        spec = RunSpec.model_validate_json(text)
        place = folder / str(number)
        place.mkdir()
        told: list[EpochRow] = []
        try:
            result = run(spec, less, told.append)
        except Exception as error:
            result = failure(spec, error)
        (place / "record.json").write_text(result.record.model_dump_json())
        (place / "told.json").write_text(json.dumps([row.epoch for row in told]))
        if result.predictions is not None:
            np.save(place / "predictions.npy", result.predictions)
        if result.checkpoint is not None:
            (place / FRAMEWORKS[spec.contender.framework].checkpoint).write_bytes(result.checkpoint)
    (folder / "modules.json").write_text(json.dumps(sorted(sys.modules)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
