"""How far two runs of replicas are apart, whatever their framework."""

import numpy as np


def apart(one: dict, other: dict) -> dict[str, float]:
    """How far two runs are apart, in each respect."""
    size = np.linalg.norm
    weights = {
        name: float(size(array - one["weights"][name]) / size(one["weights"][name]))
        for name, array in other["weights"].items()
    }
    pairs = zip(one["outcome"].epochs, other["outcome"].epochs, strict=True)
    names = ("train_loss", "train_accuracy", "test_loss", "test_accuracy", "learning_rate")
    rows = [{name: abs(getattr(b, name) / getattr(a, name) - 1) for name in names} for a, b in pairs]
    figures = {name: max(row[name] for row in rows) for name in names}
    predictions = [run["outcome"].predictions for run in (one, other)]
    return {"weights": max(weights.values()), **figures, "predictions": float(not np.array_equal(*predictions))}


def whatever_order(images: np.ndarray) -> list[bytes]:
    """Images (n, 28, 28) as a list that is equal to that of the same images in another order."""
    return sorted(map(np.ndarray.tobytes, images))
