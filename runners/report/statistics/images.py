"""Statistics of predictions image by image: agreement of two runs, and the part that the choice of images plays."""

import numpy as np
from numpy.typing import ArrayLike
from statsmodels.stats.contingency_tables import mcnemar


def agreement(predicted_a: ArrayLike, predicted_b: ArrayLike) -> float | None:
    """Return the share of images for which two runs predict the same class; None without images.

    Both predictions are of shape (images,). Raises ValueError for other or unequal shapes.
    """
    a, b = _of_one_shape(predicted_a, predicted_b)
    return float((a == b).mean()) if len(a) else None


def mcnemar_p(predicted_a: ArrayLike, predicted_b: ArrayLike, labels: ArrayLike) -> float:
    """Return the two-sided p value of McNemar's exact test (1947); all three are of shape (images,).

    The test takes the images on which only one of the two runs is right, and asks whether each run has half of them. It
    judges two trained networks, not two ways of training them. Raises ValueError for other or unequal shapes.
    """
    a, b, true = _of_one_shape(predicted_a, predicted_b, labels)
    right_a, right_b = a == true, b == true
    table = [[int((in_a & in_b).sum()) for in_b in (right_b, ~right_b)] for in_a in (right_a, ~right_a)]
    return float(mcnemar(table, exact=True).pvalue)


def distribution_variance(correct: ArrayLike) -> float | None:
    """Estimate the variance of accuracy over runs on endless test images; `correct` is of shape (runs, images).

    With n images it is n/(n-1) [Var(err) - (1/n^2) sum_i Var(err_i)]: the variance over runs of their shares of errors,
    less what n independent images would make of it; variances have ddof 1 (Jordan 2024, On the Variance of Neural
    Network Training, theorem 2). It is the mean covariance of two images' errors. The estimate has no bias, so it may
    come out negative where runs hardly differ; a negative value is returned as it is. None below two runs or two
    images. Raises ValueError for another shape, or anything but 0, 1, False and True.
    """
    right = np.asarray(correct)
    if right.ndim != 2 or not (right.dtype == bool or np.isin(right, (0, 1)).all()):
        raise ValueError(f"Correctness must be of shape (runs, images), each 0 or 1, not of shape {right.shape}")
    runs, images = right.shape
    if min(runs, images) < 2:
        return None
    shares = right.mean(axis=1)  # of those right, which spread as those wrong do
    observed = float((shares - shares[0]).var(ddof=1))  # from the first, so that the mean's own rounding is no spread
    by_image = right.mean(axis=0)  # gives each image's variance without an array of floats as large as `right`
    independent = runs / (runs - 1) * (by_image * (1 - by_image)).sum() / images**2
    return float(images / (images - 1) * (observed - independent))


def sampling_error(accuracy: float, images: int) -> float:
    """Return the binomial standard error that the choice of test images gives an accuracy: sqrt(p (1 - p) / images).

    It is the error of one run's accuracy as a statement on all images of that kind. Runs tested on the same images
    share most of it. Raises ValueError for an accuracy not within 0 to 1, or no images.
    """
    if not 0 <= accuracy <= 1 or images < 1:
        raise ValueError(f"An accuracy lies within 0 to 1, over at least one image, not at {accuracy} over {images}")
    return float(np.sqrt(accuracy * (1 - accuracy) / images))


def _of_one_shape(*arrays: ArrayLike) -> list[np.ndarray]:
    sides = [np.asarray(array) for array in arrays]
    shapes = [side.shape for side in sides]
    if sides[0].ndim != 1 or len(set(shapes)) > 1:
        raise ValueError(f"Predictions and labels must be of one shape (images,), not {' and '.join(map(str, shapes))}")
    return sides
