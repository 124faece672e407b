"""One contender's witness for the audit, from whatever copy of the project comes first on the path.

Usage: python one_witness.py FRAMEWORK LEVEL FILE
"""

import pickle
import sys
from pathlib import Path

from lenet import data
from runners.spec import Settings
from runners.witness import Task, testify


def main(framework: str, level: str, file: Path) -> None:
    task = Task(contender=framework, settings=Settings(), level=level)
    file.write_bytes(pickle.dumps(testify(task, data.load())))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
