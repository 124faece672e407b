"""What all scripts share: options and their parsing, messages on bad input, exit codes, consoles."""

import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar, cast

import typer
from pydantic import ValidationError
from rich.console import Console
from typer.core import TyperCommand

from lenet.data import DataError
from runners.core import store
from runners.core.errors import BadInput, ClusterLost, NotMatched
from runners.core.frameworks import FRAMEWORKS
from runners.core.spec import (
    DEVICES,
    LARGEST_SEED,
    LR_RULES,
    MAX_SEEDS,
    SCALINGS,
    TRACKS,
    VARIES,
    Contender,
    LrRule,
    Scaling,
    Track,
    Vary,
)
from runners.core.study import DEFAULTS
from runners.core.text import printable
from scripts import start
from scripts.start import INTERRUPTED, INTERRUPTION

WHAT, RECIPE = "What is compared", "Recipe"
WHERE, RESULTS, OTHERS = "Where it runs", "Results", "Others"


def option(group: str, help: str, *names: str, **more: Any) -> Any:  # noqa: A002 -- typer's own word
    """Declare an option, which `--help` shows in its group."""
    return typer.Option(*names, help=help, rich_help_panel=group, **more)


def known_contenders(in_one_process: bool = False) -> str:
    """List every framework, and each with its strategies, as users write them."""
    strategies = [
        f"{name}:{strategy}:N"
        for name, framework in FRAMEWORKS.items()
        for strategy, entry in framework.strategies.items()
        if entry.trainer is None or not in_one_process
    ]
    return ", ".join([*FRAMEWORKS, *strategies])


# Options of more than one script. Their defaults are those of the specs, in runners/core.
Contenders = Annotated[
    list[str] | None,
    typer.Argument(
        help=f"{known_contenders()}; one named twice is an A/A control  "
        f"[default: {' '.join(map(str, DEFAULTS.contenders))}]",
        rich_help_panel=WHAT,
    ),
]
Address = Annotated[str, option(WHERE, "auto (join a running Ray or start one), local, or a cluster's HOST:PORT")]
Device = Annotated[str, option(WHERE, "auto (GPUs where there are any), cpu or gpu")]
Threads = Annotated[int, option(WHERE, "CPU threads of each run, which takes as many cores")]
Isolate = Annotated[
    bool | None,
    option(
        WHERE,
        "give each framework a separate environment, made by Ray; by default only on GPUs",
        show_default=False,
    ),
]
DataDir = Annotated[Path | None, option(WHERE, "folder with the four Fashion-MNIST .gz files")]
Epochs = Annotated[int, option(RECIPE, "passes over the training images")]
BatchSize = Annotated[int, option(RECIPE, "images a step, over all replicas (in weak scaling, for each)")]
LimitTrain = Annotated[int, option(RECIPE, "use only the first N training images")]
LearningRate = Annotated[float, option(RECIPE, "Adam's learning rate")]
EarlyStopping = Annotated[
    int | None, option(RECIPE, "stop after PATIENCE epochs without a lower test loss", metavar="PATIENCE")
]
ReduceLr = Annotated[
    int | None, option(RECIPE, "divide the learning rate by 10 after PATIENCE epochs like that", metavar="PATIENCE")
]
Deterministic = Annotated[bool, option(RECIPE, "ask the frameworks for deterministic kernels")]
Checkpoint = Annotated[bool, option(RESULTS, "keep the best weights of each run")]
AsJson = Annotated[
    bool, option(RESULTS, "print the verdicts as one JSON document, and all other text to standard error", "--json")
]
FailIfDifferent = Annotated[
    bool,
    option(
        RESULTS,
        "exit 1 if the verdict on test accuracy is better or different for any two contenders on any track, at "
        "5 % for all at once (Holm); equivalent, inconclusive and too few seeds do not count",
        "--fail-if-different",
    ),
]

PIPE_WIDTH = 120  # columns of text where the output is not a terminal
Choice = TypeVar("Choice", bound=str)
SCRIPTS = Path(__file__).resolve().parent
BAD_INPUT, RUNS_FAILED, DIFFERENT = 2, 1, 1
WEEK_SECONDS = 7 * 24 * 3600


class _InGroups(TyperCommand):
    """A command whose help is plain text, with the options in their groups."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            if row := parameter.get_help_record(ctx):
                groups.setdefault(getattr(parameter, "rich_help_panel", None) or OTHERS, []).append(row)
        for group in sorted(groups, key=[WHAT, RECIPE, WHERE, RESULTS, OTHERS].index):
            with formatter.section(group):
                formatter.write_dl(groups[group])


def run_app(command: Callable[..., Any]) -> None:
    """Run a script's command with the arguments in sys.argv, and exit with its code."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(cls=_InGroups)(command)
    try:
        with exit_codes():
            _refuse_another_checkout(Path(getattr(sys.modules["__main__"], "__file__", None) or ".").resolve())
            code = app(args=[_with_home(word) for word in sys.argv[1:]], standalone_mode=False)
            if code == INTERRUPTED:  # typer caught an interruption outside the command's own code
                raise KeyboardInterrupt
    except SystemExit as end:
        code = end.code
    start.leave(code or 0)
    raise SystemExit(code or 0)


def _with_home(word: str) -> str:
    """Replace a `~` at the start of an option's value too: the shell replaces it only at the start of a word."""
    option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    expanded = os.path.expanduser(value)  # noqa: PTH111 -- Path's version raises if the home is unknown
    if expanded == "~" or expanded.startswith("~/"):
        raise BadInput(f"{word!r} names a home folder, but this user's is unknown; set HOME, or write the path in full")
    return option + equals + expanded


def _refuse_another_checkout(script: Path) -> None:
    """Raise BadInput if the script belongs to another checkout than the code that it imports."""
    own, installed = script.parent.parent, SCRIPTS.parent
    if not (SCRIPTS / script.name).is_file():  # a script of the tests
        return
    if (own / "runners").is_dir() and (own / "lenet").is_dir():
        if own != installed and _sources(own) != _sources(installed):
            raise BadInput(
                f"{script} would use the code in {installed}; run {SCRIPTS / script.name}, or install {own} first "
                "(`make -C` there does)"
            )
    elif script.read_bytes() != (SCRIPTS / script.name).read_bytes():  # a copy that `ray submit` made
        raise BadInput(f"{script} is not the {script.name} of the project installed in {installed}; make them the same")


@contextmanager
def exit_codes() -> Iterator[None]:
    """Turn expected errors into one sentence and an exit code: 2 for bad input, 1 for failures, 130 for Ctrl-C."""
    try:
        yield
    except (BadInput, DataError) as error:
        _leave(str(error), BAD_INPUT)
    except typer.TyperException as error:  # typer itself would print it below a block on usage
        _leave(f"{error.format_message().rstrip('.')}; --help says what is allowed", BAD_INPUT)
    except ValidationError as error:
        _leave(sentence_of(error), BAD_INPUT)
    except (NotMatched, ClusterLost) as error:
        _leave(str(error), RUNS_FAILED)
    except KeyboardInterrupt:
        _leave(INTERRUPTION, INTERRUPTED)


def _leave(sentence: str, code: int) -> NoReturn:
    print(f"error: {printable(sentence)}", file=sys.stderr)
    raise SystemExit(code)


def _sources(project: Path) -> dict[Path, bytes]:
    """Return the project's Python files, by relative path."""
    folders = (project / name for name in ("cluster", "lenet", "runners", "scripts"))
    return {path.relative_to(project): path.read_bytes() for folder in folders for path in folder.rglob("*.py")}


def sentence_of(error: ValidationError) -> str:
    """Return the first error as one sentence."""
    first = error.errors()[0]
    message = re.sub(r"\d{20,}", lambda digits: f"{float(digits[0]):g}", first["msg"].removeprefix("Value error, "))
    if not first["loc"]:
        return message
    option = "--" + "-".join(str(part) for part in first["loc"] if not isinstance(part, int)).replace("_", "-")
    return f"{option}: {message}, not {first['input']!r}"


def text_console(as_json: bool = False) -> Console:
    """Return the console for text: standard output, or standard error if the JSON document goes to the first.

    It reads no markup. A later redirection of `sys.stdout` does not affect it; one of `sys.stderr` does.
    """
    file = None if as_json else sys.stdout
    width = None if (file or sys.stderr).isatty() else PIPE_WIDTH
    return Console(file=file, stderr=as_json, width=width, markup=False, highlight=False)


@contextmanager
def locked(folder: Path, console: Console) -> Iterator[None]:
    """Keep other processes out of the folder; print a message if the process that locked it before has died."""
    with store.lock(folder) as died:
        if died:
            console.print(f"Taking {folder} over from {died}, which died while it used the folder.")
        yield


def contender(text: str) -> Contender:
    """Parse one contender; raises BadInput if it is unknown."""
    return Contender.model_validate(text)


def contenders(texts: Sequence[str] | None) -> tuple[Contender, ...]:
    """Parse contenders; without any, return the default ones.

    A repeated contender is a numbered copy of the first: `a a` is `a` and `a#2`.
    """
    if not texts:
        return DEFAULTS.contenders
    times = Counter[Contender]()
    numbered: list[Contender] = []
    for named in map(contender, texts):
        times[named] += 1
        again = times[named] > 1 and named.copy_number == 1
        numbered.append(contender(f"{named}#{times[named]}") if again else named)
    return tuple(numbered)


def tracks(text: str, at_most: int = len(TRACKS)) -> tuple[Track, ...]:
    """Parse comma-separated tracks; raises BadInput for more than `at_most` or an unknown one."""
    names = tuple(text.split(","))
    if len(names) > at_most:
        raise BadInput(f"--track {text!r} names {len(names)} tracks; at most {at_most} goes here")
    return tuple(cast(Track, _one_of("track", name, TRACKS)) for name in names)


def vary(text: str) -> Vary:
    """Parse a source of variance."""
    return _one_of("--vary", text, VARIES)


def scaling(text: str) -> Scaling:
    """Parse what stays the same when replicas are added: the batch of all (strong) or of each (weak)."""
    return _one_of("--scaling", text, SCALINGS)


def lr_rule(text: str) -> LrRule:
    """Parse how the learning rate follows the batch size."""
    return _one_of("--lr-rule", text, LR_RULES)


def _one_of(name: str, text: str, allowed: Sequence[Choice]) -> Choice:
    if text not in allowed:
        raise BadInput(f"unknown {name} {text!r}: choose from {', '.join(allowed)}")
    return cast(Choice, text)


def device(text: str, allowed: Sequence[str] = DEVICES) -> str:
    """Parse a device; raises BadInput if it is not allowed."""
    return _one_of("device", text, allowed)


def seeds(text: str) -> tuple[int, ...]:
    """Parse a count (`5` is 0..4), a list (`0,3,7`) or a range (`0-9`) of seeds from 0 to 2^32 - 1.

    Raises BadInput for any other text, and for more than MAX_SEEDS seeds.
    """
    allowed = f"a count (5), a list (0,3,7) or a range (0-9) of whole numbers from 0 to {LARGEST_SEED}"
    numbers = [part.split("-") if "-" in part[1:] else [part] for part in text.split(",")]
    # Longer numbers are refused here, because Python's int() refuses some with a message of its own.
    if not all(re.fullmatch("[0-9]{1,10}", number) for part in numbers for number in part):
        raise BadInput(f"--seeds {text!r} is not {allowed}")
    if len(numbers) == 1 and len(numbers[0]) == 1:
        ends = [(0, int(text) - 1)]
    else:
        ends = [(int(part[0]), int(part[-1])) for part in numbers]
    if any(last < first or last > LARGEST_SEED for first, last in ends):
        raise BadInput(f"--seeds {text!r} is not {allowed}")
    if sum(last - first + 1 for first, last in ends) > MAX_SEEDS:
        raise BadInput(f"--seeds {text!r} asks for more than {MAX_SEEDS} seeds; a study takes at most that many")
    return tuple(seed for first, last in ends for seed in range(first, last + 1))
