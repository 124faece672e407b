"""What one framework shows the audit, from many copies of the project.

Usage: python many_witnesses.py FRAMEWORK LEVEL:PROJECT...

LEVEL is `quick`, for all that a quick audit compares, or `look`, for what is seen before the first step. Each is made
in a fork of this process, which has loaded the framework and the data, but of the project has kept nothing. It leaves
PROJECT/witness, a pickled Witness or Inspection, or what was raised: PROJECT/problem (of the network), PROJECT/death.
"""

import importlib
import os
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

LOADED = {"keras": ("tensorflow", "keras"), "torch": ("torch", "torch.optim", "torch._dynamo")}


def testify_of(framework: str, data: Any, level: str, project: Path) -> None:
    """In a process of its own: what a copy shows of the data, a FashionMnist."""
    os.chdir(project)
    sys.path.insert(0, str(project))
    from lenet import network
    from runners.core.spec import Settings
    from runners.parity.evidence import Task, testify

    assert Path(network.__file__).is_relative_to(project)
    task = Task(contender=framework, settings=Settings(), level="quick")
    try:
        shown = look(framework, task, data) if level == "look" else testify(task, data)
    except ValueError as error:  # of `look`, about the network; `testify` takes note of it itself
        (project / "problem").write_text(str(error))
    except Exception as error:
        (project / "death").write_text(f"{type(error).__name__}: {error}")
    else:
        (project / "witness").write_bytes(pickle.dumps(shown))


def look(framework: str, task: Any, data: Any) -> Any:
    """As `testify` does first."""
    from runners.core.runner import load_inspector
    from runners.parity.evidence import FEED_EPOCHS, INSPECTED_IMAGES

    spec = task.spec(epochs=FEED_EPOCHS, limit_train=task.fed_images)
    few, images = data.first(task.fed_images), data.test_images[:INSPECTED_IMAGES]
    return load_inspector(framework, "matched").inspect_run(spec, few, images)


def forked(framework: str, data: Any, asked: str) -> None:
    level, _, project = asked.partition(":")
    there = Path(project).resolve()
    process = get_context("fork").Process(target=testify_of, args=(framework, data, level, there))
    process.start()
    process.join()


def main(framework: str, asked: list[str]) -> None:
    from lenet.data import load
    from runners.core.frameworks import process_environment

    data = load()
    os.environ.update(process_environment(framework, "matched"))
    for name in LOADED[framework]:
        importlib.import_module(name)
    for name in [name for name in sys.modules if name.partition(".")[0] in ("lenet", "runners")]:
        del sys.modules[name]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(partial(forked, framework, data), asked))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
