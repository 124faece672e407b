"""A framework's default choices beside matched's, read from the live objects of one process."""

from math import sqrt

import numpy as np

from lenet.data import FashionMnist
from runners.core.record import Flag
from runners.core.runner import ADAM_PROBES, Choices, Inspector
from runners.core.spec import Frozen, RunSpec

Facts = dict[str, str]
EPSILON_PLACES = {
    "the corrected root of v": lambda gradient, epsilon, _: gradient / (gradient + epsilon),
    "the uncorrected root of v": lambda gradient, epsilon, root: root * gradient / (root * gradient + epsilon),
}


class Defaults(Frozen):
    """One contender's choices in native and in matched, as text."""

    contender: str
    native: Facts
    matched: Facts


def defaults(inspector: Inspector, spec: RunSpec, data: FashionMnist, before: dict[str, Flag]) -> Defaults:
    """Return both tracks' choices in a process configured for `spec`; `before` are its earlier settings."""
    native = spec.model_copy(update={"track": "native"})
    return Defaults(
        contender=str(spec.contender),
        native=_facts(inspector.choices(native, data), before),
        matched=_facts(inspector.choices(spec, data), inspector.process_settings()),
    )


def _facts(chosen: Choices, process: dict[str, Flag]) -> Facts:
    return {
        **{f"{name} at the start": _spread(array) for name, array in chosen.weights.items()},
        **{name: _text(value) for name, value in chosen.settings.items()},
        "epsilon is added to": _epsilon_place(chosen),
        "bias corrections": _corrections(chosen),
        **{name.replace("_", " "): _text(value) for name, value in process.items()},
    }


def _spread(array: np.ndarray) -> str:
    if not array.any():
        return "zero"
    return f"within ±{np.abs(array).max():.3f}, SD {array.std():.3f}"


def _text(value: Flag) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _epsilon_place(chosen: Choices) -> str:
    """Return the place of epsilon with which the first step is explained."""
    settings = {name: chosen.settings[name] for name in ("learning rate", "beta 2", "epsilon")}
    rate, beta_2, epsilon = (float(value or 0) for value in settings.values())
    step = abs(chosen.adam_moves[0]) / rate
    expected = {place: form(ADAM_PROBES[0], epsilon, sqrt(1 - beta_2)) for place, form in EPSILON_PLACES.items()}
    return next((place for place, due in expected.items() if abs(step / due - 1) < 1e-3), "neither root of v")


def _corrections(chosen: Choices) -> str:
    """Return how bias corrections are rounded: without rounding, a large gradient's first step is the learning rate."""
    rate = float(chosen.settings["learning rate"] or 0)
    off = abs(abs(chosen.adam_moves[1]) / rate - 1)
    return "in double precision" if off < 1e-6 else f"rounded: the first step is {off:.1e} off"
