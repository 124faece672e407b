"""The bench can fail: a report beyond its limits of memory and size is no success."""

import sys

import pytest

from tests.bench import __main__ as bench
from tests.bench import big_report


@pytest.mark.parametrize(
    ("gibibytes", "megabytes", "told"),
    [
        (1.99, 4.99, []),
        (2.01, 1, ["the report took 2.01 GiB, more than 2"]),
        (1, 5.01, ["report.html has 5.01 MB, more than 5"]),
        (3, 6, ["the report took 3.00 GiB, more than 2", "report.html has 6.00 MB, more than 5"]),
    ],
)
def test_what_passes_a_limit_is_too_much(gibibytes, megabytes, told):
    assert big_report.too_much(gibibytes, megabytes) == told


def test_what_is_too_much_is_the_exit_code(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["bench", "report"])
    monkeypatch.setattr(big_report, "measure", lambda: [])
    bench.main()
    monkeypatch.setattr(big_report, "measure", lambda: ["too large"])
    with pytest.raises(SystemExit, match="too large"):
        bench.main()
