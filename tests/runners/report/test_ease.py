import ast
import re
import subprocess
import sys

import pytest

from runners.core.frameworks import FRAMEWORKS
from runners.report import ease
from runners.report.ease import EaseRow, ease_table, framework_imports, loop_statements, read_source, size, steps

SOURCE = '''"""A script."""

import keras
import tensorflow as tf
from keras import layers
from numpy import array

# ## Model
# What it is.
@tf.function
def network(spec):
    """What it is

    and what it does.
    """
    # why

    first = layers.Dense(3)  # a comment beside code
    outer = keras.Sequential(
        [

            first,
            layers.Dense(len(array([1]))),
        ],
    )
    return tf.data.Dataset.range(3).map(outer).batch(2)

# ## Training process
for epoch in epochs:
    for batch in epoch:
        learn(batch)
        if batch:
            rest()
while learning:
    rest()
rest()
'''


def numbers(table: tuple[EaseRow, ...], aspect: str, framework: str) -> list[int]:
    (cell,) = [row.cells[framework] for row in table if row.aspect == aspect]
    return [int(number) for number in re.findall(r"\d+", cell)]


def test_a_step_is_what_follows_its_title() -> None:
    assert list(steps(SOURCE)) == ["Model", "Training process"]
    assert steps(SOURCE)["Training process"].startswith("for epoch in epochs:")
    assert "import" not in steps(SOURCE)["Model"]


def test_blank_lines_comments_and_docstrings_do_not_count_and_each_framework_name_counts_once() -> None:
    # Names: tf.function, keras.layers.Dense, keras.Sequential and tf.data.Dataset.range; array is not a framework's.
    counts = size(steps(SOURCE)["Model"], framework_imports(SOURCE))
    assert counts == "10 lines, 4 statements, 8 calls, 4 framework names"
    assert size("rest()", {}) == "1 line, 1 statement, 1 call, 0 framework names"


def test_a_statement_in_two_loops_counts_once() -> None:
    assert loop_statements(steps(SOURCE)["Training process"]) == "5 statements in loops"
    assert loop_statements("rest()") == "0 statements in loops"


def test_framework_names_are_full_names() -> None:
    imports = framework_imports("import torch\nfrom torch import nn\nimport torch.nn.functional as F\nimport time")
    assert imports == {"torch": "torch", "nn": "torch.nn", "F": "torch.nn.functional"}
    nodes = list(ast.walk(ast.parse("nn.init.zeros_(model.weight); F.relu; torch.nn.functional.relu; time.time()")))
    assert ease.framework_names(nodes, imports) == {"torch.nn.init.zeros_", "torch.nn.functional.relu"}


def test_the_table_has_the_articles_five_aspects_and_every_framework() -> None:
    table = ease_table()
    assert {"data handling", "training process", "callbacks", "flexibility", "difficulty"} <= {r.aspect for r in table}
    for row in table:
        assert list(row.cells) == list(FRAMEWORKS)
        assert all(re.match(r"\d+ ", cell) for cell in row.cells.values())


def test_only_torch_has_a_training_loop_of_its_own() -> None:
    assert numbers(ease_table(), "flexibility", "keras") == [0]
    assert numbers(ease_table(), "flexibility", "torch")[0] > 0


def test_difficulty_is_all_that_the_steps_count_and_more() -> None:
    table = ease_table()
    for framework in FRAMEWORKS:
        in_steps = [numbers(table, row.aspect, framework)[0] for row in table if row.counted.startswith("The step")]
        assert numbers(table, "difficulty", framework)[0] > sum(in_steps)


def test_the_table_changes_with_the_script() -> None:
    old = "        loss.backward()\n"
    new = f"{old}        torch.nn.utils.clip_grad_norm_(model.parameters(), 1)\n"
    assert old in read_source("pytorch_model.py")
    before, after = ease_table(), ease_table(lambda script: read_source(script).replace(old, new))
    more = {"training process": [1, 1, 2, 1], "flexibility": [1], "difficulty": [1, 1, 2, 1], "callbacks": [0, 0, 0, 0]}
    for aspect, added in more.items():
        expected = [a + b for a, b in zip(numbers(before, aspect, "torch"), added, strict=True)]
        assert numbers(after, aspect, "torch") == expected
        assert numbers(after, aspect, "keras") == numbers(before, aspect, "keras")


def test_a_framework_without_a_script_is_shown_as_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ease, "FRAMEWORKS", {**FRAMEWORKS, "numpy": FRAMEWORKS["torch"].__class__("N", "", "", (), "")})
    assert {row.cells["numpy"] for row in ease_table()} == {"not counted"}


def test_importing_it_loads_no_framework_and_no_ray() -> None:
    code = (
        "import sys; from runners.report.ease import ease_table; ease_table(); "
        "print(*{'keras', 'tensorflow', 'torch', 'ray'} & set(sys.modules))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ease.SCRIPTS.parent, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == ""
