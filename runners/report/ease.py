"""How much each framework asks of its user: counts of the article's scripts, which are read but never imported."""

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

from runners.core.frameworks import FRAMEWORKS

SCRIPTS = Path(__file__).parents[2] / "scripts"
MODULES = {package for framework in FRAMEWORKS.values() for package in framework.packages}
LOOP = "Training process"  # the step whose loops the flexibility row counts
RULES = (
    "The article's scripts are counted as they are, step by step. Lines are lines of code, without blank lines, "
    "comments and docstrings. Calls are calls of anything. Framework names are those reached through an import of "
    "the framework, type hints included, each counted once; methods of its objects are among the calls."
)
Read = Callable[[str], str]  # name of a script in scripts/ -> its text


@dataclass(frozen=True)
class EaseRow:
    """One aspect of using a framework: the counts by framework, and what was counted."""

    aspect: str
    cells: dict[str, str]
    counted: str


def read_source(script: str) -> str:
    """Return the text of one of the article's scripts."""
    return (SCRIPTS / script).read_text(encoding="utf-8")


def ease_table(read: Read = read_source) -> tuple[EaseRow, ...]:
    """Return a row for each step of the scripts, then flexibility and difficulty."""
    sources = {name: read(row.script) for name, row in FRAMEWORKS.items() if row.script}
    by_step = {name: steps(source) for name, source in sources.items()}
    imports = {name: framework_imports(source) for name, source in sources.items()}
    rows = []
    for title in dict.fromkeys(title for code in by_step.values() for title in code):
        sizes = {name: size(code.get(title, ""), imports[name]) for name, code in by_step.items()}
        rows.append(_row(title.lower(), sizes, f"The step “{title}”"))
    in_loops = {name: loop_statements(code.get(LOOP, "")) for name, code in by_step.items()}
    whole = {name: size(source, imports[name]) for name, source in sources.items()}
    rows.append(_row("flexibility", in_loops, f"What a user can edit inside the loops of the step “{LOOP}”"))
    scripts = " and ".join(f"scripts/{row.script}" for row in FRAMEWORKS.values() if row.script)
    return (*rows, _row("difficulty", whole, f"The whole of {scripts}"))


def steps(source: str) -> dict[str, str]:
    """Return the code of each step by title: all that follows a line `# ## Title`, up to the next such line."""
    parts = re.split(r"^# ## (.+)\n", source, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def size(code: str, imports: Mapping[str, str]) -> str:
    """Return the numbers of lines, statements, calls and framework names; `imports` are the framework's."""
    nodes = list(ast.walk(ast.parse(code)))
    docstrings = [node for node in nodes if _is_docstring(node)]
    in_docstrings = {line for node in docstrings for line in range(node.lineno, (node.end_lineno or 0) + 1)}
    lines = [n for n, text in enumerate(code.splitlines(), 1) if not re.match(r"\s*(#|$)", text)]
    counts = {
        "line": len(set(lines) - in_docstrings),
        "statement": sum(isinstance(node, ast.stmt) for node in nodes) - len(docstrings),
        "call": sum(isinstance(node, ast.Call) for node in nodes),
        "framework name": len(framework_names(nodes, imports)),
    }
    return ", ".join(_number(count, noun) for noun, count in counts.items())


def loop_statements(code: str) -> str:
    """Return the number of statements inside loops."""
    loops = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.For | ast.While)]
    inside = {node for loop in loops for node in ast.walk(loop) if isinstance(node, ast.stmt) and node is not loop}
    return f"{_number(len(inside), 'statement')} in loops"


def framework_imports(source: str) -> dict[str, str]:
    """Return local name -> full name of everything that `source` imports from a framework."""
    found: dict[str, str] = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            prefix = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            for alias in node.names:
                local = alias.asname or alias.name.partition(".")[0]
                found[local] = prefix + (alias.name if alias.asname else local)
    return {local: full for local, full in found.items() if full.partition(".")[0] in MODULES}


def framework_names(nodes: list[ast.AST], imports: Mapping[str, str]) -> set[str]:
    """Return the full names in use: `nn.init.zeros_` is torch.nn.init.zeros_, and not torch.nn.init as well."""
    inner = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
    outer = (node for node in nodes if isinstance(node, ast.Name | ast.Attribute) and id(node) not in inner)
    chains = (chain.partition(".") for chain in map(ast.unparse, outer) if re.fullmatch(r"[\w.]+", chain))
    return {imports[root] + dot + rest for root, dot, rest in chains if root in imports}


def _row(aspect: str, counts: Mapping[str, str], counted: str) -> EaseRow:
    return EaseRow(aspect, {name: counts.get(name, "not counted") for name in FRAMEWORKS}, counted)


def _number(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _is_docstring(node: ast.AST) -> TypeGuard[ast.Expr]:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
