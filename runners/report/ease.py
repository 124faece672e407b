"""How much each framework asks of its user, counted in the two sides' source, which is read but never imported."""

import ast
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from runners.core.frameworks import FRAMEWORKS

ROOT = Path(__file__).parents[2]
MODULES = {package for framework in FRAMEWORKS.values() for package in framework.packages}
GRADIENTS = ("backward", "gradient", "train_on_batch")  # a loop over batches that trains uses one of these
RULES = (
    "Lines are lines of code, without blank lines, comments and docstrings. Calls are calls of anything. Framework "
    "names are those reached through an import of the framework, type hints included, each counted once; methods of "
    "its objects are among the calls. Stopwatch readings and branches for the matched track or several replicas "
    "are left out."
)
SEVERAL = ("ddp.replicas() > 1", "spec.contender.strategy != 'single'")  # how a branch for several replicas begins
Read = Callable[[str], str]  # path from the project's root -> text


@dataclass(frozen=True)
class Part:
    """Top-level functions or classes of a file; with `using`, only their statements that use those identifiers."""

    path: str  # from the project's root
    names: tuple[str, ...]
    using: tuple[str, ...] = ()

    def __str__(self) -> str:
        return ", ".join(self.names) + (f" ({', '.join(self.using)})" if self.using else "") + f" in {self.path}"


@dataclass(frozen=True)
class Count:
    """What some parts take together."""

    lines: int
    calls: int
    names: frozenset[str]  # of the framework's API, in full: torch.nn.Conv2d


@dataclass(frozen=True)
class EaseRow:
    """One aspect of using a framework: what its code takes, by framework, and what was counted where."""

    aspect: str
    cells: dict[str, str]
    counted: str


KERAS, TORCH = "runners/keras/runner.py", "runners/torch/runner.py"
PARTS: dict[str, dict[str, tuple[Part, ...]]] = {
    "data handling": {
        "keras": (Part(KERAS, ("native_data",)),),
        "torch": (Part(TORCH, ("native_data", "ImageDataset")),),
    },
    "training process": {
        "keras": (Part(KERAS, ("build",)), Part(KERAS, ("train",), using=("fit",))),
        "torch": (
            Part(TORCH, ("build", "train_epoch", "evaluate", "on_device", "Means")),
            Part(TORCH, ("train",), using=("batches", "train_epoch", "evaluate")),
        ),
    },
    "callbacks": {
        # TimedCheckpoint only puts Keras's own on the clock, so its first line is all that a user needs of it.
        "keras": (Part(KERAS, ("callbacks",)), Part(KERAS, ("TimedCheckpoint",), using=("ModelCheckpoint",))),
        "torch": (
            Part("runners/torch/callbacks.py", ("improves", "ModelCheckpoint", "EarlyStopping", "ReduceLROnPlateau")),
            Part(TORCH, ("callbacks",)),
            Part(TORCH, ("train",), using=("checkpoint", "reduce_lr", "early_stopping")),
        ),
    },
    "difficulty": {  # beside all of the above
        "keras": (Part("lenet/keras_model.py", ("build_model",)), Part("runners/keras/inspect.py", ("predict",))),
        "torch": (Part("lenet/torch_model.py", ("LeNet5",)), Part("runners/torch/inspect.py", ("predict",))),
    },
}


def read_source(path: str) -> str:
    """The text of one of this project's files."""
    return (ROOT / path).read_text(encoding="utf-8")


def ease_table(read: Read = read_source) -> tuple[EaseRow, ...]:
    """The five rows; raises LookupError if the source no longer has something that they count."""
    return (
        _row("data handling", "The training images as a native run gets them", read),
        _row("training process", "Compiling, training and evaluating", read),
        _row("callbacks", "Checkpoint, early stopping and learning-rate reduction", read),
        _flexibility(read),
        _row("difficulty", "All that the rows above count, the network, and predicting from saved weights", read),
    )


def count(parts: Iterable[Part], read: Read = read_source) -> Count:
    """Lines, calls and framework names of all `parts`; a line that several of them share counts once."""
    by_path: dict[str, list[Part]] = {}
    for part in parts:
        by_path.setdefault(part.path, []).append(part)
    lines, calls, names = 0, 0, frozenset[str]()
    for path, its_parts in by_path.items():
        source = read(path)
        tree = ast.parse(source)
        code = {n for n, text in enumerate(source.split("\n"), start=1) if text.strip() and text.strip()[0] != "#"}
        chosen = code & _union(_lines(tree, part) for part in its_parts)
        nodes = [node for node in ast.walk(tree) if getattr(node, "lineno", None) in chosen]
        lines += len(chosen)
        calls += sum(isinstance(node, ast.Call) for node in nodes)
        names |= _framework_names(nodes, _framework_imports(tree))
    return Count(lines, calls, names)


def step_statements(source: str) -> int:
    """Statements in the innermost loops that take gradients; 0 if there is no such loop."""
    found = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.For | ast.While)]
    loops = [loop for loop in found if any(getattr(node, "attr", None) in GRADIENTS for node in ast.walk(loop))]
    innermost = [loop for loop in loops if not any(node in loops for node in ast.walk(loop) if node is not loop)]
    statements = [node for loop in innermost for node in ast.walk(loop) if isinstance(node, ast.stmt)]
    left_out = _union(map(_left_out, statements))
    return sum(node.lineno not in left_out for node in statements) - len(innermost)


def _row(aspect: str, subject: str, read: Read) -> EaseRow:
    aspects = PARTS if aspect == "difficulty" else [aspect]
    parts = {name: [part for each in aspects for part in PARTS[each].get(name, ())] for name in FRAMEWORKS}
    cells = {name: _cell(count(chosen, read)) if chosen else "not counted" for name, chosen in parts.items()}
    return EaseRow(aspect, cells, f"{subject}: {'; '.join(str(part) for part in sum(PARTS[aspect].values(), ()))}.")


def _flexibility(read: Read) -> EaseRow:
    paths = {name: f"runners/{name}/runner.py" for name in FRAMEWORKS}
    cells = {name: f"{_number(step_statements(read(path)), 'own statement')} per batch" for name, path in paths.items()}
    where = f"the innermost loop that uses {' or '.join(GRADIENTS)}, if there is one, in {' and '.join(paths.values())}"
    return EaseRow("flexibility", cells, f"Statements of the training step that are there to edit: {where}.")


def _cell(n: Count) -> str:
    return f"{_number(n.lines, 'line')}, {_number(n.calls, 'call')}, {_number(len(n.names), 'framework name')}"


def _number(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _lines(tree: ast.Module, part: Part) -> set[int]:
    found = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    if missing := set(part.names) - set(found):
        raise LookupError(f"{part.path} defines no {', '.join(sorted(missing))}, which PARTS in {__name__} names")
    nodes = [node for name in part.names for node in ast.walk(found[name])]
    left_out = _union(map(_left_out, nodes))
    counted = [node for node in nodes if isinstance(node, ast.stmt) and node.lineno not in left_out]
    lines = set[int]() if part.using else _union(_span(found[name]) for name in part.names)
    for identifier in part.using:
        users = [node for node in counted if identifier in _identifiers(node)]
        if not users:
            raise LookupError(f"Nothing uses {identifier} among {part}, which PARTS in {__name__} names")
        lines |= _union(_span(node, whole=isinstance(node, ast.If)) for node in users)
    return lines - left_out


def _span(statement: ast.stmt, whole: bool = True) -> range:
    """Its lines, decorators included; unless `whole`, up to the body of a loop, function or class."""
    start = min(node.lineno for node in (statement, *getattr(statement, "decorator_list", ())))
    if not whole and isinstance(statement, ast.For | ast.While | ast.FunctionDef | ast.ClassDef):
        return range(start, statement.body[0].lineno)
    return range(start, (statement.end_lineno or start) + 1)


def _identifiers(statement: ast.stmt) -> set[str | None]:
    """Those that a statement uses itself, not in the statements inside it."""
    own = (child for child in ast.iter_child_nodes(statement) if isinstance(child, ast.expr))
    return {getattr(node, "id", getattr(node, "attr", None)) for child in own for node in ast.walk(child)}


def _left_out(node: ast.AST) -> range:
    """The lines of a docstring, of a reading of the stopwatch, and of a branch for matched or for several replicas."""
    match node:
        case ast.Expr(value=ast.Constant(value=str())):
            return _span(node)
        case ast.Expr(value=ast.Call(func=called)) | ast.Assign(value=ast.Call(func=called)):
            return _span(node) if ast.unparse(called).startswith("stopwatch.") else range(0)
        case ast.If(test=test) if ast.unparse(test) in SEVERAL or ast.unparse(test).endswith("== 'matched'"):
            return range(node.lineno, node.orelse[0].lineno if node.orelse else _span(node).stop)
    return range(0)


def _framework_imports(tree: ast.Module) -> dict[str, str]:
    """Local name -> full name of everything imported from a framework."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            prefix = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            for alias in node.names:
                local = alias.asname or alias.name.partition(".")[0]
                found[local] = prefix + (alias.name if alias.asname else local)
    return {local: full for local, full in found.items() if full.partition(".")[0] in MODULES}


def _framework_names(nodes: list[ast.AST], imports: dict[str, str]) -> set[str]:
    """Each chain of attributes is one name: `nn.init.zeros_` is torch.nn.init.zeros_, and not torch.nn.init too."""
    inner = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
    outer = (node for node in nodes if isinstance(node, ast.Name | ast.Attribute) and id(node) not in inner)
    chains = (chain.partition(".") for chain in map(ast.unparse, outer) if re.fullmatch(r"[\w.]+", chain))
    return {imports[root] + dot + rest for root, dot, rest in chains if root in imports}


def _union(ranges: Iterable[Iterable[int]]) -> set[int]:
    return {line for lines in ranges for line in lines}
