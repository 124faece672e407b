"""What predictions image by image tell: how far runs agree, and how much of an accuracy is the choice of images."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from statsmodels.stats.contingency_tables import mcnemar


@dataclass(frozen=True)
class Agreement:
    """How far two runs predict the same classes."""

    n: int  # images
    share: float | None  # of the images on which both predict the same class; None without images
    p_mcnemar: float | None  # two-sided, exact: whether one is right more often; None without labels


def agreement(pred_a: ArrayLike, pred_b: ArrayLike, labels: ArrayLike | None = None) -> Agreement:
    """How far two runs predict the same classes, both of shape (images,); with labels, of that shape, McNemar's test.

    McNemar's exact test (1947) asks whether, of the images on which only one of the two is right, it is a as often as
    b. It judges two trained networks, not two ways of training them. Raises ValueError for another or unequal shapes.
    """
    a, b = np.asarray(pred_a), np.asarray(pred_b)
    shapes = [side.shape for side in (a, b, *([] if labels is None else [np.asarray(labels)]))]
    if a.ndim != 1 or len(set(shapes)) > 1:
        raise ValueError(f"Predictions and labels must be of one shape (images,), not {' and '.join(map(str, shapes))}")
    share = float((a == b).mean()) if len(a) else None
    return Agreement(len(a), share, None if labels is None else _mcnemar(a == labels, b == labels))


@dataclass(frozen=True)
class DistributionVariance:
    """The variance of a share of errors over runs: as observed on the test images, and beyond their choice."""

    runs: int
    images: int
    observed: float | None  # over the runs, ddof 1; None below two runs
    of_distribution: float | None  # what would be left with endless test images; an estimate, which may be negative


def distribution_variance(correct: ArrayLike) -> DistributionVariance:
    """How much runs would differ on the whole distribution, from which images each got right, shape (runs, images).

    With n images it is n/(n-1) [Var(err) - (1/n^2) sum_i Var(err_i)]: the variance over runs of their shares of errors,
    less what n independent images would make of it; variances have ddof 1 (Jordan 2024, On the Variance of Neural
    Network Training, theorem 2). It is the mean covariance of two images' errors, without bias, so it may come out
    negative where runs hardly differ; a negative value is returned as it is. None below two runs or two images.
    Raises ValueError for another shape, or anything but 0, 1, False and True.
    """
    right = np.asarray(correct)
    if right.ndim != 2 or not (right.dtype == bool or np.isin(right, (0, 1)).all()):
        raise ValueError(f"Correctness must be of shape (runs, images), each 0 or 1, not of shape {right.shape}")
    runs, images = right.shape
    if runs < 2 or images == 0:
        return DistributionVariance(runs, images, None, None)
    shares = right.mean(axis=1)  # of those right, which spread as those wrong do
    observed = float((shares - shares[0]).var(ddof=1))  # from the first, so that the mean's own rounding is no spread
    if images < 2:
        return DistributionVariance(runs, images, observed, None)
    by_image = right.mean(axis=0)  # each image's variance follows, without an array of floats as large as all
    independent = runs / (runs - 1) * (by_image * (1 - by_image)).sum() / images**2
    return DistributionVariance(runs, images, observed, float(images / (images - 1) * (observed - independent)))


def sampling_error(accuracy: float, images: int) -> float:
    """The standard error of an accuracy that comes from which images are tested: sqrt(p (1 - p) / images), binomial.

    It is of one run's accuracy as a statement on all images of that kind. Runs tested on the same images share most of
    it. Raises ValueError for an accuracy not within 0 to 1, or no images.
    """
    if not 0 <= accuracy <= 1 or images < 1:
        raise ValueError(f"An accuracy lies within 0 to 1, over at least one image, not at {accuracy} over {images}")
    return float(np.sqrt(accuracy * (1 - accuracy) / images))


def _mcnemar(right_a: np.ndarray, right_b: np.ndarray) -> float:
    table = [[int((in_a & in_b).sum()) for in_b in (right_b, ~right_b)] for in_a in (right_a, ~right_a)]
    return float(mcnemar(table, exact=True).pvalue)
