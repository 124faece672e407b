"""How far weights part: held against distances computed by hand, and followed once for real."""

from math import inf

import numpy as np
import pytest

from cluster import inline
from cluster.parity import follow_divergence
from runners.core import environment
from runners.core.draws import initial_weights
from runners.core.errors import BadInput
from runners.core.spec import Contender, Settings
from runners.parity import divergence as parting
from runners.parity.divergence import DTYPES, Divergence, Line, Trace, divergence, follow, walks
from runners.report.sections.parity import divergence_grid, divergence_plot, draw_divergence, sentences

KERAS, TORCH = (Contender.model_validate(name) for name in ("keras", "torch"))
SHORT = Settings(limit_train=1280)


def test_every_contender_walks_twice_with_the_steps_of_an_epoch_on_a_logarithmic_axis():
    walked = walks([KERAS, TORCH], Settings())
    names = [f"{name}, {threads}" for name in ("keras", "torch") for threads in ("1 thread", "2 threads")]
    assert [walk.name for walk in walked] == names
    steps = walked[0].steps
    assert (steps[:5], steps[-1]) == ((1, 2, 3, 4, 5), 469)
    assert 60 < len(steps) <= 120
    assert walks([KERAS], SHORT)[0].steps == tuple(range(1, 11))


def made_up_traces(walked):
    random = np.random.default_rng(0)
    steps = len(walked[0].steps)
    return [Trace(walk.name, {dtype: random.normal(size=(steps, 7)) for dtype in DTYPES}) for walk in walked]


def test_distances_are_norms_relative_to_the_second_s_between_and_within_frameworks():
    walked = walks([KERAS, TORCH], SHORT)
    traces = made_up_traces(walked)
    found = divergence(walked, traces)
    pairs = [(line.a, line.b, line.framework) for line in found.lines[::2]]
    assert pairs == [
        ("keras, 1 thread", "torch, 1 thread", None),
        ("keras, 1 thread", "keras, 2 threads", "keras"),
        ("torch, 1 thread", "torch, 2 threads", "torch"),
    ]
    keras, torch = (next(t for t in traces if t.name == f"{name}, 1 thread") for name in ("keras", "torch"))
    for line in found.lines[:2]:
        for step, distance in enumerate(line.distances):
            a, b = keras.weights[line.precision][step], torch.weights[line.precision][step]
            assert distance == pytest.approx(np.sqrt(((a - b) ** 2).sum() / (b**2).sum()))


def lines(across, within, steps=(1, 2, 4)):
    """Found divergence in which frameworks part at one step and each from itself at another, 0 for never."""

    def line(a, b, framework, at):
        distances = tuple(0.5 if at and step >= at else 0.0 for step in steps)
        return Line(a=a, b=b, framework=framework, precision="float32", distances=distances)

    return Divergence(
        steps=steps, lines=(line("keras", "torch", None, across), line("keras", "keras 2", "keras", within))
    )


@pytest.mark.parametrize(
    ("across", "within", "verdict"),
    [
        (2, 4, "Two frameworks part sooner than either parts from itself"),
        (2, 0, "Two frameworks part sooner than either parts from itself"),
        (4, 2, "Two frameworks part later than either parts from itself"),
        (0, 2, "Two frameworks part later than either parts from itself"),
        (2, 2, "Two frameworks part neither sooner nor later"),
        (0, 0, "Neither two frameworks part, nor one from itself"),
    ],
)
def test_the_sentence_says_which_parts_sooner(across, within, verdict):
    found = lines(across, within)
    (told,) = sentences(found)
    assert verdict in told
    assert f"keras and torch: {f'step {across}' if across else 'never'}" in told
    assert found.parted("float32", within=False) == {("keras", "torch"): across or inf}


def test_not_a_number_is_apart():
    (line, _) = lines(0, 0).lines
    assert line.model_copy(update={"distances": (0.0, float("nan"), 0.0)}).parted_at((1, 2, 4)) == 2


def test_table_grid_and_plot_are_made_of_the_lines(tmp_path):
    found = lines(2, 0)
    table = divergence_plot(found).data
    assert list(table.columns) == ["a", "b", "precision", "step", "distance"]
    assert table["distance"].tolist() == [0.0, 0.5, 0.5, 0.0, 0.0, 0.0]
    assert divergence_grid(found)[0] == ("keras / torch", "float32", "0.0e+00", "5.0e-01", "5.0e-01", "step 2")
    assert draw_divergence(found, tmp_path).stat().st_size > 10_000
    assert (tmp_path / "divergence.svg").exists()


def test_it_survives_json_and_a_damaged_file_is_refused_by_name(tmp_path):
    assert parting.read(tmp_path) is None
    parting.write(tmp_path, lines(2, 0))
    assert parting.read(tmp_path) == lines(2, 0)
    (tmp_path / parting.FILE).write_text("{")
    with pytest.raises(BadInput, match=r"divergence\.json is no divergence of this version"):
        parting.read(tmp_path)


@pytest.mark.thorough
def test_a_framework_followed_for_real_starts_from_the_drawn_weights_and_stays_with_itself(fashion_mnist):
    if environment.cores() < 2:
        pytest.skip("needs two cores, for two threads")
    settings = Settings(limit_train=640)
    found = follow_divergence([TORCH], settings, fashion_mnist, inline.call_each)
    assert found.steps == (1, 2, 3, 4, 5)
    assert [line.precision for line in found.lines] == ["float32", "float64"]
    assert max(found.lines[0].distances) < 1e-6
    assert max(found.lines[1].distances) < 1e-14
    (walk, _) = walks([TORCH], settings)
    (trace,) = inline.call_each(follow, [walk.spec("float32")], [walk], fashion_mnist)
    start = np.concatenate([array.ravel() for array in initial_weights(0).values()])
    assert trace.weights["float64"].shape == (5, 44_426)
    assert 0 < np.abs(trace.weights["float64"][0] - start).max() < 1.01e-3  # one Adam step moves no weight further
