import re
import time
from io import StringIO
from typing import cast

import pytest
from rich.console import Console

from runners.core.events import EpochDone, Retried, Started
from runners.core.record import Clock, EpochRow, RunRecord
from runners.core.study import Plan, run_specs
from scripts.progress import LARGEST_TABLE, Progress, duration

TRACEBACK = 'Traceback (most recent call last):\n  File "train.py", line 7, in step\nRuntimeError: [bold]no[/bold] luck'


def specs_of(seeds, epochs=13):
    plan = Plan(contenders=("keras", "torch"), tracks=("matched",), seeds=range(seeds), epochs=epochs)
    return run_specs(plan)


def epoch(number, test_loss=0.3456):
    return EpochRow(
        epoch=number,
        train_loss=0.4567,
        train_accuracy=0.8,
        test_loss=test_loss,
        test_accuracy=0.8765,
        learning_rate=1e-3,
        train_seconds=2.345,
        eval_seconds=0.1,
    )


def record_of(spec, status="completed", error=None, epochs=1):
    test_loss = float("nan") if status == "diverged" else 0.3456
    given = {
        "status": status,
        "error": error,
        "epochs": tuple(epoch(number, test_loss) for number in range(1, epochs + 1)),
        "clock": Clock(other_seconds=3.0, total_seconds=3.0),
    }
    shortened = spec.model_copy(update={"epochs": epochs}) if epochs else spec
    return RunRecord(run_id=spec.run_id, spec=shortened, **given)


def in_a_pipe(specs, at_once=1, width=40):
    return Progress(Console(file=StringIO(), width=width), specs, at_once)


def printed(progress):
    return cast(StringIO, progress.console.file).getvalue()


def lines(progress):
    return printed(progress).splitlines()


def table_of(progress):
    """The table that a terminal would show now, as its rows of cells."""
    console = Console(file=StringIO(), width=200)
    console.print(progress._table())
    rows = [line for line in cast(StringIO, console.file).getvalue().splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in row.split("│")[1:-1]] for row in rows]


# In a pipe


def test_in_a_pipe_each_epoch_is_one_line_with_its_numbers():
    spec = specs_of(1)[0]
    with in_a_pipe([spec]) as progress:
        progress.report(Started(spec.run_id, "node-1"))
        for number in (1, 2):
            progress.report(EpochDone(spec.run_id, epoch(number)))
    expected = r"\S+  epoch  {}/13  train loss 0\.4567  test loss 0\.3456  test accuracy 0\.8765  2\.3[45] s.*"
    assert len(lines(progress)) == 2
    for number, line in enumerate(lines(progress), start=1):
        assert re.fullmatch(expected.format(number), line)
        assert line.startswith(f"{spec.run_id}  ")


def test_a_line_is_never_wrapped_coloured_or_drawn_over():
    spec = specs_of(1)[0]
    with in_a_pipe([spec], width=20) as progress:
        progress.report(Started(spec.run_id, "node-1"))
        progress.report(EpochDone(spec.run_id, epoch(10)))
        progress.ended(record_of(spec))
    assert len(lines(progress)) == 1
    assert "\x1b" not in printed(progress)


def test_the_end_of_a_completed_run_adds_no_line():
    spec = specs_of(1)[0]
    with in_a_pipe([spec]) as progress:
        progress.report(Started(spec.run_id, "node-1"))
        progress.report(EpochDone(spec.run_id, epoch(1)))
        before = printed(progress)
        progress.ended(record_of(spec, epochs=1))
    assert printed(progress) == before


def test_epochs_that_a_result_has_overtaken_are_told_once_and_in_order():
    spec = specs_of(1)[0]
    with in_a_pipe([spec]) as progress:
        progress.report(Started(spec.run_id, "node-1"))
        progress.report(EpochDone(spec.run_id, epoch(1)))
        progress.ended(record_of(spec, epochs=3))
        for late in (2, 3):
            progress.report(EpochDone(spec.run_id, epoch(late)))
    assert re.findall(r"epoch +(\d+)/13", printed(progress)) == ["1", "2", "3"]


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("status", ["failed", "diverged", "oom"])
def test_a_run_that_did_not_complete_is_told_with_contender_seed_and_error(status, terminal):
    spec = specs_of(4)[-1]
    console = Console(file=StringIO(), width=120, force_terminal=terminal, color_system=None)
    with Progress(console, [spec]) as progress:
        progress.report(Started(spec.run_id, "node-1"))
        progress.ended(record_of(spec, status, TRACEBACK))
    told = f"{spec.contender}-matched-seed3  {status} (seed 3): {TRACEBACK}"
    assert told in printed(progress)


def test_a_retry_is_told_with_its_attempt_and_reason():
    spec = specs_of(1)[0]
    with in_a_pipe([spec]) as progress:
        progress.report(Started(spec.run_id, "node-1"))
        progress.report(Retried(spec.run_id, 2, "killed by signal 9"))
    assert lines(progress) == [f"{spec.run_id}  its process died; the run starts again, attempt 2: killed by signal 9"]
    assert table_of(progress)[0][:3] == [spec.run_id, "waiting, attempt 2", "0/13"]


def test_what_is_told_of_a_run_after_its_end_is_ignored():
    spec = specs_of(1)[0]
    with in_a_pipe([spec]) as progress:
        progress.report(Started(spec.run_id, "node-1"))
        progress.ended(record_of(spec))
        before = printed(progress)
        for late in (EpochDone(spec.run_id, epoch(3)), Started(spec.run_id, "node-2"), Retried(spec.run_id, 2, "died")):
            progress.report(late)
    assert printed(progress) == before
    assert table_of(progress)[0][:3] == [spec.run_id, "completed", "1/13"]


def test_a_study_with_nothing_to_do_shows_nothing():
    with Progress(Console(file=StringIO(), force_terminal=True), []) as progress:
        pass
    assert printed(progress) == ""


# On a terminal


def test_on_a_terminal_a_table_is_kept_up_to_date_and_leaves_nothing_behind():
    specs = specs_of(1)
    console = Console(file=StringIO(), width=120, height=40, force_terminal=True, color_system=None)
    with Progress(console, specs) as progress:
        progress.report(Started(specs[0].run_id, "node-1"))
        progress.report(EpochDone(specs[0].run_id, epoch(5)))
        deadline = time.monotonic() + 10
        while "5/13" not in printed(progress) and time.monotonic() < deadline:
            time.sleep(0.02)
    text = printed(progress)
    assert re.search(rf"{specs[0].run_id} +│ on node-1 +│ +5/13 │ +0\.3456 │ +0\.8765 │", text)
    assert "0 of 2 runs done" in text
    assert "train loss" not in text  # no line an epoch beside the table
    assert text.endswith("\x1b[2K")  # the table is wiped
    assert "\x1b[?25h" in text  # and the cursor shown again


def test_an_interrupted_terminal_gets_its_cursor_back():
    console = Console(file=StringIO(), force_terminal=True)
    with pytest.raises(KeyboardInterrupt), Progress(console, specs_of(1)):
        raise KeyboardInterrupt
    assert "\x1b[?25h" in cast(StringIO, console.file).getvalue()


def test_the_table_has_a_row_a_run_in_the_order_of_the_runs():
    specs = specs_of(2)
    progress = in_a_pipe(specs)
    progress.report(Started(specs[1].run_id, "node-7"))
    progress.report(EpochDone(specs[1].run_id, epoch(2, test_loss=float("nan"))))
    progress.ended(record_of(specs[0], "failed", "it broke"))
    rows = table_of(progress)
    assert [row[0] for row in rows] == [spec.run_id for spec in specs]
    assert [row[1] for row in rows] == ["failed", "on node-7", "waiting", "waiting"]
    assert rows[1][2:5] == ["2/13", "nan", "0.8765"]
    assert progress._table().title.startswith("1 of 4 runs done")


@pytest.mark.parametrize("ended", [0, 3, 400])
@pytest.mark.parametrize("running", [0, 1, 8, LARGEST_TABLE])
def test_a_large_study_s_table_stays_small_and_shows_what_runs(running, ended):
    specs = specs_of(250)
    ids = [spec.run_id for spec in specs]
    progress = in_a_pipe(specs, at_once=8)
    for spec in specs[:ended]:
        progress.ended(record_of(spec))
    for run_id in ids[ended : ended + running]:
        progress.report(Started(run_id, "node-1"))
    shown = [row[0] for row in table_of(progress)]
    assert len(shown) <= LARGEST_TABLE < len(specs) == 500
    latest = ids[max(ended - (LARGEST_TABLE - running), 0) : ended]
    assert shown == latest + ids[ended : ended + running]


def test_the_table_stays_small_where_more_runs_at_once_than_it_has_rows():
    specs = specs_of(250)
    progress = in_a_pipe(specs, at_once=60)
    for spec in specs[:60]:
        progress.report(Started(spec.run_id, "node-1"))
    assert len(table_of(progress)) == LARGEST_TABLE


# How long it will take


def test_the_time_left_is_unknown_before_the_first_epoch_and_falls_as_epochs_end():
    specs, begun = specs_of(1, epochs=4), time.monotonic()
    progress = in_a_pipe(specs)
    progress.report(Started(specs[0].run_id, "node-1"))
    assert progress.seconds_left() is None
    time.sleep(0.1)
    guesses = []
    for number in (1, 2, 3, 4):
        progress.report(EpochDone(specs[0].run_id, epoch(number)))
        guesses.append(progress.seconds_left())
        left, per_epoch = 8 - number, (time.monotonic() - begun) / number  # of both runs
        assert 0.1 / number * left <= guesses[-1] <= per_epoch * left
    assert guesses[-1] < guesses[0]
    for spec in specs:
        progress.ended(record_of(spec))
    assert progress.seconds_left() == 0


def test_in_a_pipe_the_time_left_stands_at_the_end_of_the_line():
    spec = specs_of(1, epochs=1201)[0]
    with in_a_pipe([spec]) as progress:
        progress.report(Started(spec.run_id, "node-1"))
        time.sleep(0.1)
        progress.report(EpochDone(spec.run_id, epoch(1)))
    assert re.search(r"  \(about [2-9] min \d+ s left\)$", lines(progress)[0])


def test_runs_side_by_side_take_less_time():
    specs = specs_of(8)
    progress = in_a_pipe(specs)
    progress.report(Started(specs[0].run_id, "node-1"))
    time.sleep(0.1)
    progress.report(EpochDone(specs[0].run_id, epoch(1)))
    one_at_a_time = progress.seconds_left()
    progress.at_once = 4
    assert 2 < one_at_a_time / progress.seconds_left() < 4.01  # time has passed since


def test_a_retried_run_has_all_its_epochs_to_do_again():
    specs = specs_of(1, epochs=4)
    progress = in_a_pipe(specs)
    for spec in specs:
        progress.report(Started(spec.run_id, "node-1"))
    time.sleep(0.1)
    for spec in specs:
        progress.report(EpochDone(spec.run_id, epoch(3)))
    before = progress.seconds_left()  # for one epoch of each
    progress.report(Retried(specs[0].run_id, 2, "died"))
    assert progress.seconds_left() > 1.5 * before  # four epochs of it and one of the other


def test_a_run_that_stopped_early_has_nothing_left():
    spec = specs_of(1)[0]
    progress = in_a_pipe([spec])
    progress.report(Started(spec.run_id, "node-1"))
    progress.report(EpochDone(spec.run_id, epoch(3)))
    progress.ended(record_of(spec))
    assert table_of(progress)[0][2] == "3/13"
    assert table_of(progress)[0][5] == ""
    assert progress.seconds_left() == 0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (40.2, "40 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (190, "3 min 10 s"),
        (3599.4, "59 min 59 s"),
        (3599.9, "1 h 0 min"),
        (7500, "2 h 5 min"),
        (360_000, "100 h 0 min"),
    ],
)
def test_a_duration_is_said_as_a_person_says_it(seconds, words):
    assert duration(seconds) == words
