"""The metrics that contenders are compared by: what each is called, and how its differences read."""

from dataclasses import dataclass, replace

from runners.core.study import Plan

HIGHER_OR_LOWER = ("is {} higher than", "is {} lower than")


@dataclass(frozen=True)
class Metric:
    """A column of the runs table that contenders are compared by.

    A comparison holds the other contender's value less the reference's, or if `ratio` (of times and losses) the other's
    over the reference's. A reader sees the first in points (percentage points), the second less one, in per cent.
    """

    name: str  # the column
    label: str  # opens the sentence
    higher_is_better: bool
    margin: float  # the smallest difference that matters: a fraction, or a ratio above 1
    ratio: bool
    declared: str = "time_margin"  # the plan's field that has the margin
    words: tuple[str, str] = ("takes {} longer than", "takes {} less time than")  # for a larger value, a smaller one
    primary: bool = False
    may_be_unreached: bool = False  # a completed run without it never got there

    @property
    def unit(self) -> str:
        return "%" if self.ratio else "points"

    @property
    def digits(self) -> int:
        return 1 if self.ratio else 2

    def shown(self, value: float) -> float:
        """A difference or ratio of the comparisons table as a reader sees it, in `unit`."""
        return 100 * (value - 1 if self.ratio else value)

    def allowed(self, margin: float) -> tuple[float, float]:
        """The differences that a margin takes for too small to matter, as a reader sees them."""
        return self.shown(1 / margin if self.ratio else -margin), self.shown(margin)


METRICS = (
    Metric("test_accuracy", "Test accuracy", True, 0.005, False, "accuracy_margin", HIGHER_OR_LOWER, primary=True),
    Metric("test_loss", "Test loss", False, 1.05, True, "loss_margin", HIGHER_OR_LOWER),
    Metric("train_seconds", "Training time", higher_is_better=False, margin=1.05, ratio=True),
    Metric("total_seconds", "Total time", higher_is_better=False, margin=1.05, ratio=True),
)
# Compared only where the plan declares a target.
TIME_TO_ACCURACY = Metric(
    "seconds_to_accuracy", "Time to accuracy", higher_is_better=False, margin=1.05, ratio=True, may_be_unreached=True
)
BY_NAME = {metric.name: metric for metric in (*METRICS, TIME_TO_ACCURACY)}


def declared_metrics(plan: Plan) -> tuple[Metric, ...]:
    """The metrics with the margins that the plan declares; the time to a target accuracy only where it has one."""
    metrics: tuple[Metric, ...] = METRICS
    if plan.target_accuracy is not None:
        metrics += (replace(TIME_TO_ACCURACY, label=f"Time to {100 * plan.target_accuracy:g} % test accuracy"),)
    return tuple(replace(metric, margin=getattr(plan, metric.declared)) for metric in metrics)
