"""How a run's status is decided, whatever cut it short."""

import numpy as np
import pytest

from runners.core.record import EpochRow
from runners.core.run import _ending
from runners.core.runner import Outcome
from runners.core.spec import RunSpec
from tests.helpers.stubs import row

SPEC = RunSpec(contender="torch", epochs=3, limit_train=256)


def outcome(rows: list[EpochRow], steps: int) -> Outcome:
    nothing = np.zeros(0, np.uint8)
    return Outcome(
        tuple(rows),
        nothing,
        init_sha256="",
        order_sha256=None,
        steps=steps,
        versions={},
        flags={},
        epoch_orders_sha256=(),
    )


@pytest.mark.parametrize(
    ("epochs", "steps", "patience", "status", "error"),
    [
        (3, 6, None, "completed", None),
        (2, 4, None, "failed", "2 epochs were trained where 3 were due"),
        (3, 5, None, "failed", "5 steps were taken where 6 were due in 3 epochs"),
        (2, 4, 1, "completed", None),
        (1, 2, 1, "failed", "1 epochs were trained where 3 were due"),
        (2, 3, 1, "failed", "3 steps were taken where 4 were due in 2 epochs"),
        (0, 0, None, "failed", "0 epochs were trained where 3 were due"),
    ],
)
def test_a_run_cut_short_is_not_completed(
    epochs: int, steps: int, patience: int | None, status: str, error: str | None
) -> None:
    spec = SPEC.model_copy(update={"early_stopping": patience})
    assert _ending(spec, outcome([row(epoch + 1) for epoch in range(epochs)], steps)) == (status, error)


def test_a_run_whose_loss_is_not_finite_has_diverged_however_short() -> None:
    last = row(1).model_copy(update={"test_loss": float("nan")})
    assert _ending(SPEC, outcome([last], 2))[0] == "diverged"
