import ast
import re
import subprocess
import sys

import pytest

from runners.core.frameworks import FRAMEWORKS
from runners.report import ease
from runners.report.ease import PARTS, Count, EaseRow, Part, count, ease_table, read_source, step_statements

SNIPPET = '''"""A module."""

import keras
import tensorflow as tf
from keras import layers
from numpy import array
from torch.utils.data import DataLoader


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


class Loader(DataLoader):
    """Nothing more."""


def measured(spec, stopwatch):
    model = network(spec)
    seconds = stopwatch.lap("build")
    stopwatch.lap("build")
    if spec.track == "matched":
        model.load(1)
    else:
        model.load(2)
    if spec.track == "matched":
        model.save(1)
    return model


def outer(items, model):
    chosen = model.prepare()
    for item in items:
        model.learn(item)
        if chosen:
            chosen.note(item)
            chosen.close()
        model.rest()
    return model
'''


def counted(*names: str, using: tuple[str, ...] = ()) -> Count:
    return count([Part("any.py", names, using)], read=lambda path: SNIPPET)


def changed(path_to_change: str, old: str, new: str) -> tuple[EaseRow, ...]:
    assert old in read_source(path_to_change)
    return ease_table(lambda path: read_source(path).replace(old, new) if path == path_to_change else read_source(path))


def numbers(table: tuple[EaseRow, ...], aspect: str, framework: str) -> list[int]:
    cell = next(row for row in table if row.aspect == aspect).cells[framework]
    return [int(number) for number in re.findall(r"\d+", cell)]


def test_lines_are_code_without_docstrings_comments_and_blanks() -> None:
    assert counted("network").lines == 10


def test_nested_and_chained_calls_each_count() -> None:
    assert counted("network").calls == 8  # Dense, Sequential, Dense, len, array, range, map, batch


def test_names_are_full_distinct_and_the_frameworks_only() -> None:
    names = {"tensorflow.function", "keras.layers.Dense", "keras.Sequential", "tensorflow.data.Dataset.range"}
    assert counted("network").names == names


def test_a_name_imported_from_a_framework_counts_by_itself() -> None:
    assert counted("Loader") == Count(1, 0, frozenset({"torch.utils.data.DataLoader"}))


def test_stopwatch_readings_and_matched_branches_are_left_out() -> None:
    assert counted("measured") == Count(4, 2, frozenset())


def test_only_statements_using_an_identifier_count_when_one_is_named() -> None:
    assert counted("outer", using=("chosen",)) == Count(4, 3, frozenset())


def test_a_loop_that_uses_an_identifier_counts_without_its_body() -> None:
    assert counted("outer", using=("items",)) == Count(1, 0, frozenset())
    assert counted("outer", using=("items", "learn")) == Count(2, 1, frozenset())


def test_a_line_of_two_parts_counts_once() -> None:
    assert counted("network", "Loader", "network").lines == 11
    parts = [Part("any.py", ("outer",)), Part("any.py", ("outer",), ("chosen",))]
    assert count(parts, read=lambda path: SNIPPET) == counted("outer")


def test_a_part_that_is_gone_raises() -> None:
    with pytest.raises(LookupError, match=r"any\.py defines no nothing, which PARTS in runners\.report\.ease names"):
        counted("network", "nothing")
    with pytest.raises(LookupError, match="Nothing uses absent among outer"):
        counted("outer", using=("chosen", "absent"))


LOOPS = """
def train(model, epochs, stopwatch):
    for batches in epochs:
        for batch in batches:
            loss = model(batch)
            if loss:
                loss.backward()
            stopwatch.first_step()
        model.save()
    for batch in epochs:
        model(batch)
"""


def test_step_statements_are_those_of_the_innermost_loop_that_takes_gradients() -> None:
    assert step_statements(LOOPS) == 3


def test_a_source_whose_loops_take_no_gradients_has_no_step_statements() -> None:
    assert step_statements(LOOPS.replace("backward", "forward")) == 0


def test_the_table_has_the_articles_five_rows_and_every_framework() -> None:
    table = ease_table()
    aspects = ["data handling", "training process", "callbacks", "flexibility", "difficulty"]
    assert [row.aspect for row in table] == aspects
    for row in table:
        assert list(row.cells) == list(FRAMEWORKS)
        assert all(re.match(r"\d+ ", cell) for cell in row.cells.values())
        assert all(f"runners/{framework}/" in row.counted for framework in FRAMEWORKS)


def test_only_torch_has_a_training_step_of_its_own() -> None:
    table = ease_table()
    assert numbers(table, "flexibility", "keras") == [0]
    assert numbers(table, "flexibility", "torch")[0] > 0


def test_difficulty_is_all_that_the_other_rows_count_and_more() -> None:
    table = ease_table()
    for framework in FRAMEWORKS:
        others = [numbers(table, aspect, framework)[0] for aspect in ("data handling", "training process", "callbacks")]
        assert numbers(table, "difficulty", framework)[0] > sum(others)


def test_the_table_changes_with_the_source() -> None:
    old = "        loss.backward(weight)\n"
    table = changed(
        "runners/torch/runner.py", old, f"{old}        torch.nn.utils.clip_grad_norm_(model.parameters(), 1)\n"
    )
    for aspect, more in {
        "training process": [1, 2, 1],
        "flexibility": [1],
        "difficulty": [1, 2, 1],
        "callbacks": [0, 0, 0],
    }.items():
        before = numbers(ease_table(), aspect, "torch")
        assert numbers(table, aspect, "torch") == [a + b for a, b in zip(before, more, strict=True)]
        assert numbers(table, aspect, "keras") == numbers(ease_table(), aspect, "keras")


def test_a_loop_over_batches_on_the_keras_side_is_discovered() -> None:
    old = "            model.fit("
    loop = "            for batch in feed:\n                model.train_on_batch(batch)\n"
    assert numbers(changed("runners/keras/runner.py", old, loop + old), "flexibility", "keras") == [1]


def test_a_renamed_function_breaks_the_table() -> None:
    with pytest.raises(LookupError, match=r"runners/torch/runner\.py defines no train_epoch"):
        changed("runners/torch/runner.py", "def train_epoch(", "def one_epoch(")
    with pytest.raises(LookupError, match="Nothing uses fit among train"):
        changed("runners/keras/runner.py", "model.fit(", "model.train(")


def test_helpers_of_what_is_counted_are_counted_too() -> None:
    parts = [part for by_framework in PARTS.values() for chosen in by_framework.values() for part in chosen]
    for path in {part.path for part in parts}:
        defined = {node.name: node for node in ast.parse(read_source(path)).body if hasattr(node, "name")}
        whole = {name for part in parts if part.path == path and not part.using for name in part.names}
        named = {name for part in parts if part.path == path for name in part.names}
        used = {node.id for name in whole for node in ast.walk(defined[name]) if isinstance(node, ast.Name)}
        assert used & set(defined) <= named, path


def test_a_framework_without_named_parts_is_shown_as_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ease, "FRAMEWORKS", {**FRAMEWORKS, "jax": FRAMEWORKS["torch"]})
    table = ease_table(lambda path: "" if "/jax/" in path else read_source(path))
    assert [row.cells["jax"] for row in table if row.aspect != "flexibility"] == ["not counted"] * 4


def test_importing_it_loads_no_framework_and_no_ray() -> None:
    code = (
        "import sys; from runners.report.ease import ease_table; ease_table(); "
        "print(*{'keras', 'tensorflow', 'torch', 'ray'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ease.ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == ""
