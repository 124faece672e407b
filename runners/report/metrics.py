"""The list of metrics: each number of a run that the report summarises, draws or compares is one row here."""

from dataclasses import dataclass, replace

from runners.core.study import Plan

SEEDS_FOR_A_VERDICT = 5
HIGHER_OR_LOWER = ("is {} higher than", "is {} lower than")


@dataclass(frozen=True)
class Metric:
    """A number of a run, by its column in the runs table.

    Metrics with a `margin_field` are compared. A comparison holds the other contender's value less the reference's, or
    if `ratio` (times and losses) the other's over the reference's. A reader sees the first in points (percentage
    points), the second less one, in per cent.
    """

    name: str  # the column
    label: str  # opens a sentence
    axis: str  # names an axis, with the unit
    heading: str  # of its column in the summary
    decimals: int  # of its mean there
    epoch_column: str = ""  # the column of the epochs table that has its learning curve
    margin_field: str = ""  # the plan's field that has the margin
    ratio: bool = True
    higher_is_better: bool = False
    words: tuple[str, str] = ("takes {} longer than", "takes {} less time than")  # for a larger value, a smaller one
    primary: bool = False
    headline: bool = False  # shown on the screen, and drawn pair by pair
    may_be_unreached: bool = False  # a completed run without a value never reached the target

    @property
    def unit(self) -> str:
        """The unit of a difference."""
        return "%" if self.ratio else "points"

    @property
    def digits(self) -> int:
        """The decimals of a difference."""
        return 1 if self.ratio else 2

    @property
    def spread_unit(self) -> tuple[str, float]:
        """The unit of a standard deviation, and the factor from the metric's own unit to it."""
        own = self.axis.partition(" (")[2].removesuffix(")")
        return (own, 1) if self.ratio else ("percentage points", 100)

    @property
    def title(self) -> str:
        """What an axis shows, without its unit."""
        return self.axis.partition(" (")[0].capitalize()

    def shown(self, value: float) -> float:
        """Return a difference or ratio of the comparisons table as a reader sees it, in `unit`."""
        return 100 * (value - 1 if self.ratio else value)

    def allowed(self, margin: float) -> tuple[float, float]:
        """Return the smallest and largest difference within a margin, as a reader sees them."""
        return self.shown(1 / margin if self.ratio else -margin), self.shown(margin)

    def margin(self, plan: Plan) -> float:
        """Return the smallest difference that matters, as the plan declares it: a fraction, or a ratio above 1."""
        return float(getattr(plan, self.margin_field))


METRICS = (
    Metric(
        *("test_accuracy", "Test accuracy", "test accuracy (fraction)", "test accuracy", 4, "test_accuracy"),
        *("accuracy_margin", False, True, HIGHER_OR_LOWER),
        primary=True,
        headline=True,
    ),
    Metric(
        *("test_loss", "Test loss", "test loss (nats)", "test loss", 4, "test_loss", "loss_margin"),
        words=HIGHER_OR_LOWER,
    ),
    Metric("train_loss", "Train loss", "train loss (nats)", "train loss", 4, "train_loss"),
    Metric(
        *("seconds_per_epoch", "Seconds per epoch", "training (seconds per epoch)", "seconds per epoch", 2),
        epoch_column="train_seconds",
    ),
    Metric(
        *("train_seconds", "Training time", "training time (seconds per run)", "training seconds", 1),
        margin_field="time_margin",
        headline=True,
    ),
    Metric(
        *("total_seconds", "Total time", "total time (seconds per run)", "total seconds", 1),
        margin_field="time_margin",
    ),
    Metric("images_per_second", "Images per second", "speed (images per second)", "images per second", 0),
)
# Compared only where the plan declares a target.
TIME_TO_ACCURACY = Metric(
    *("seconds_to_accuracy", "Time to accuracy", "time to accuracy (seconds)", "seconds to accuracy", 1),
    margin_field="time_margin",
    may_be_unreached=True,
)
COMPARED = tuple(metric for metric in METRICS if metric.margin_field)
CURVES = tuple(metric for metric in METRICS if metric.epoch_column)
BY_NAME = {metric.name: metric for metric in (*METRICS, TIME_TO_ACCURACY)}


def compared_metrics(plan: Plan) -> tuple[Metric, ...]:
    """Return the metrics that a plan compares: the time to a target accuracy only where it declares one."""
    if plan.target_accuracy is None:
        return COMPARED
    return (*COMPARED, replace(TIME_TO_ACCURACY, label=f"Time to {100 * plan.target_accuracy:g} % test accuracy"))
