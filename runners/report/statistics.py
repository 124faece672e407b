"""What a comparison of two contenders can support: intervals, tests, and how many more runs would settle it.

Intervals of means are t intervals: at the few runs a study has, a percentile bootstrap covers far too little
(75 % at n = 3, for a nominal 95 %). Values that differ by less than rounding (one part in 10^12) count as equal.
Import from here; by subject the functions lie in `runners/report/inference/`.
"""

from runners.report.inference.comparison import (
    Comparison,
    DifferenceChange,
    RunsNeeded,
    difference_change,
    holm,
    paired_comparison,
    ratio_comparison,
    runs_needed,
    welch_comparison,
)
from runners.report.inference.images import (
    Agreement,
    DistributionVariance,
    agreement,
    distribution_variance,
    sampling_error,
)
from runners.report.inference.intervals import bca_interval, mean_interval, pointwise_band, simultaneous_band
from runners.report.inference.samples import Interval
from runners.report.inference.spread import (
    half_width,
    half_width_of,
    outliers,
    sd_interval,
    standard_deviation,
    stein_half_width,
    stein_interval,
    stein_runs,
)
from runners.report.inference.winning import Improvement, Wins, noether_pairs, probability_of_improvement, wins

__all__ = [
    "Agreement",
    "Comparison",
    "DifferenceChange",
    "DistributionVariance",
    "Improvement",
    "Interval",
    "RunsNeeded",
    "Wins",
    "agreement",
    "bca_interval",
    "difference_change",
    "distribution_variance",
    "half_width",
    "half_width_of",
    "holm",
    "mean_interval",
    "noether_pairs",
    "outliers",
    "paired_comparison",
    "pointwise_band",
    "probability_of_improvement",
    "ratio_comparison",
    "runs_needed",
    "sampling_error",
    "sd_interval",
    "simultaneous_band",
    "standard_deviation",
    "stein_half_width",
    "stein_interval",
    "stein_runs",
    "welch_comparison",
    "wins",
]
