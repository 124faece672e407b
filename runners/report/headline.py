"""The verdicts for a newcomer: each a short answer, a sentence with its numbers, and what would change it."""

from dataclasses import dataclass
from math import expm1

import numpy as np
import pandas as pd

from lenet.data import TEST_IMAGES
from runners.core.study import Plan
from runners.report.comparisons import declared_metrics, sides
from runners.report.statistics import Comparison, Interval, runs_needed, sampling_error
from runners.report.verdict import NOT_AFTER_HOLM, Kind, Metric, amount, compare, counted
from runners.report.wording import HELD_FIXED, labelled_sentences


@dataclass(frozen=True)
class Answer:
    """What the runs say of two contenders on one metric."""

    track: str  # as it may be called: "not matched" where the parity audit failed
    a: str
    b: str
    metric: str
    primary: bool
    kind: Kind
    short: str
    told: str
    change: str  # what would change it


def answers(comparisons: pd.DataFrame, runs: pd.DataFrame, plan: Plan) -> tuple[Answer, ...]:
    """One for each row of the comparisons table, in its order."""
    metrics = {metric.name: metric for metric in declared_metrics(plan)}
    groups = {key: group.set_index("seed") for key, group in runs.groupby(["track", "contender"])}
    none = runs.iloc[:0].set_index("seed")
    told = zip(comparisons.to_dict("records"), labelled_sentences(comparisons), strict=True)
    found = []
    for row, (track, sentence, change) in told:
        metric = metrics[row["metric"]]
        of_a, of_b = (groups.get((row["track"], name), none) for name in (row["a"], row["b"]))
        values = sides(metric, of_a, of_b, paired=row["paired"])
        comparison = compare(metric, *values, paired=row["paired"])
        kind, a, b = row["verdict"], row["a"], row["b"]
        short, words, after = _words(kind, comparison, a, b, metric, sentence, change)
        words += _of_images(metric, *values)
        found.append(Answer(track, a, b, metric.name, metric.primary, kind, short, words, after))
    if plan.vary == "all":
        return tuple(found)
    fixed = f" Every run had the {HELD_FIXED[plan.vary]} of seed {plan.seeds[0]}."
    return tuple(Answer(**{**vars(answer), "told": answer.told + fixed}) for answer in found)


def _words(
    kind: Kind, found: Comparison, a: str, b: str, metric: Metric, sentence: str, change: str
) -> tuple[str, str, str]:
    """The short answer, the sentence with its numbers, and what would change them."""
    logs = found.additive()
    if kind == "descriptive" or logs.difference is None or logs.ci95 is None or logs.ci90 is None:
        return _too_little(metric, sentence, change)
    larger, smaller = (a, b) if logs.difference >= 0 else (b, a)
    ci95, ci90 = (ci if logs.difference >= 0 else (-ci[1], -ci[0]) for ci in (logs.ci95, logs.ci90))
    mean, margin = _mean(found, larger, smaller, metric), _size(logs.margin, metric)
    if kind == "equivalent":
        return (
            f"{metric.label}: the same for practical purposes.",
            f"{mean} {_between(90, ci90, metric)}: smaller than {margin}, which was declared to matter.",
            change,
        )
    caveat = f"; {NOT_AFTER_HOLM}" if NOT_AFTER_HOLM in sentence else ""
    if kind == "better":
        return (
            f"{metric.label}: {larger if metric.higher_is_better else smaller} is better.",
            f"{mean} {_between(95, ci95, metric)}: larger than {margin}, which was declared to matter{caveat}.",
            change,
        )
    told = f"{mean} {_between(95, ci95, metric)}{caveat}. What was declared to matter is {margin}."
    if kind == "different":
        return (
            f"{metric.label}: they differ; whether by enough to matter is open.",
            told,
            change,
        )
    return f"{metric.label}: not settled by these runs.", told, _more_seeds(found)


def _too_little(metric: Metric, sentence: str, change: str) -> tuple[str, str, str]:
    reason = sentence.removeprefix(f"{metric.label}: descriptive only, ")
    return f"{metric.label}: too little for a verdict.", reason[:1].upper() + reason[1:], change


def _mean(found: Comparison, larger: str, smaller: str, metric: Metric) -> str:
    runs = f"{found.n:,} pairs of runs" if found.paired else f"at least {found.n:,} runs each"
    difference = abs(found.additive().difference or 0)
    if difference == 0:
        return f"Over {runs}, {larger} and {smaller} are equal on average."
    return f"Over {runs}, {larger} is {amount(difference, metric)} {metric.larger} on average."


def _between(confidence: int, interval: Interval, metric: Metric) -> str:
    low, high = (amount(end, metric) for end in interval)
    low = low.removesuffix(" percentage points")
    return f"With {confidence} % confidence the true difference is between {low} and {high}"


def _of_images(metric: Metric, of_a: np.ndarray, of_b: np.ndarray) -> str:
    """How far an accuracy would move on other test images, which no number of runs lessens."""
    values = np.concatenate([of_a, of_b])
    if metric.name != "test_accuracy" or not len(values):
        return ""
    error = sampling_error(float(values.mean()), TEST_IMAGES)
    return f" (Choosing other test images moves any accuracy by about {amount(error, metric)}.)"


def _size(value: float, metric: Metric) -> str:
    """How large a difference is; of a ratio's logs."""
    return f"{100 * expm1(value):.3g} %" if metric.ratio else f"{100 * value:.3g} percentage points"


def _more_seeds(found: Comparison) -> str:
    needed = runs_needed(found)
    told = [
        f"{counted(number, 'more seed')} to show {what}"
        for number, what in ((needed.difference, "a difference"), (needed.equivalence, "equivalence"))
        if number is not None
    ]
    return f"It would take at least {', or at least '.join(told)}, were mean and spread to stay as they are."
