"""The bench counts the same seconds on both sides, and it can fail: a report beyond its limits is no success."""

import sys

import pytest

from runners.core.record import Clock
from tests.bench import __main__ as bench
from tests.bench import article, big_report


@pytest.mark.parametrize(
    ("gibibytes", "megabytes", "sentences"),
    [
        (1.99, 4.99, []),
        (2.01, 1, ["the report took 2.01 GiB, more than 2"]),
        (1, 5.01, ["report.html has 5.01 MB, more than 5"]),
        (3, 6, ["the report took 3.00 GiB, more than 2", "report.html has 6.00 MB, more than 5"]),
    ],
)
def test_a_report_beyond_a_limit_is_too_much(gibibytes, megabytes, sentences):
    assert big_report.too_much(gibibytes, megabytes) == sentences


def test_a_report_that_is_too_much_ends_the_bench_with_an_error(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["bench", "report"])
    monkeypatch.setattr(big_report, "measure", lambda: [])
    bench.main()
    monkeypatch.setattr(big_report, "measure", lambda: ["too large"])
    with pytest.raises(SystemExit, match="too large"):
        bench.main()


def test_the_runners_seconds_are_first_step_training_evaluation_and_checkpoints():
    parts = {"compile_seconds": 1, "train_seconds": 2, "eval_seconds": 4, "checkpoint_seconds": 8}
    clock = Clock(**parts, startup_seconds=16, other_seconds=32, total_seconds=63)
    assert bench.training_seconds(clock.model_dump()) == 15


def test_a_round_names_both_sides_and_their_ratio(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["bench", "torch", "--rounds", "1"])
    monkeypatch.setattr(bench, "script_seconds", lambda framework, track, epochs: 10.0)
    monkeypatch.setattr(bench, "runner_seconds", lambda framework, track, epochs: 11.0)
    bench.main()
    printed = capsys.readouterr().out
    assert "(60,000 images, epochs: 2)" in printed
    assert "torch native   pytorch_model.py  10.00 s  runner  11.00 s  ratio 1.100\n" in printed
    assert "torch matched  median ratio 1.100 of 1 rounds\n" in printed


def test_a_script_without_the_text_to_replace_is_refused():
    with pytest.raises(ValueError, match=r"'EPOCHS = 13\\n' is 0 times in the script, not once"):
        article.replaced("epochs = 13\n", "EPOCHS = 13\n", "EPOCHS = 2\n")
