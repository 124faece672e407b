"""One framework's witnesses for the audit, from many copies of the project.

Usage: python many_witnesses.py FRAMEWORK LEVEL PROJECT...

Each is made in a fork of this process, which has loaded the framework, but of the project has kept nothing. It leaves
PROJECT/witness, or in PROJECT/death what it raised.
"""

import importlib
import os
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

LOADED = {"keras": ("tensorflow", "keras"), "torch": ("torch", "torch.optim", "torch._dynamo")}


def testify_of(framework: str, level: str, project: Path) -> None:
    """In a process of its own: the witness of a copy."""
    os.chdir(project)
    sys.path.insert(0, str(project))
    from lenet import data
    from runners.core.spec import Settings
    from runners.parity.evidence import Task, testify

    assert Path(data.__file__).is_relative_to(project)
    try:
        witness = testify(Task(contender=framework, settings=Settings(), level=level), data.load())
    except Exception as error:
        (project / "death").write_text(f"{type(error).__name__}: {error}")
    else:
        (project / "witness").write_bytes(pickle.dumps(witness))


def forked(framework: str, level: str, project: Path) -> None:
    process = get_context("fork").Process(target=testify_of, args=(framework, level, project))
    process.start()
    process.join()


def main(framework: str, level: str, projects: list[Path]) -> None:
    from runners.core.frameworks import process_environment

    os.environ.update(process_environment(framework, "matched"))
    for name in LOADED[framework]:
        importlib.import_module(name)
    for name in [name for name in sys.modules if name.partition(".")[0] in ("lenet", "runners")]:
        del sys.modules[name]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(partial(forked, framework, level), projects))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], [Path(text).resolve() for text in sys.argv[3:]])
