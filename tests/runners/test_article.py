"""The article's two scripts run for real, do the same steps, and keep the weights that they report."""

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lenet.data import load, scale
from runners.core.frameworks import FRAMEWORKS
from runners.report.ease import steps
from tests.bench import article
from tests.bench.__main__ import reported_seconds

SCRIPTS = {name: row.script for name, row in FRAMEWORKS.items() if row.script}
SOURCES = {name: (article.SCRIPTS / script).read_text() for name, script in SCRIPTS.items()}


@pytest.fixture(scope="module", params=SCRIPTS)
def ran(request, tmp_path_factory) -> tuple[str, Path, str]:
    """A framework, the folder in which its script ran, and what the script printed."""
    folder = tmp_path_factory.mktemp(request.param)
    return request.param, folder, article.run(SCRIPTS[request.param], folder, epochs=2, images=3000)


def test_it_reports_every_epoch_the_time_and_the_best_weights(ran) -> None:
    _, _, printed = ran
    losses, accuracies = results_of(printed)
    assert len(losses) == len(accuracies) == 2 + 1
    assert losses[-1] == min(losses[:-1])
    assert accuracies[-1] in accuracies[:-1]
    assert reported_seconds(printed) > 0


def test_it_draws_the_curves(ran) -> None:
    _, folder, _ = ran
    (picture,) = folder.glob("*.png")
    grey = np.asarray(Image.open(picture).convert("L"))
    assert grey.shape > (300, 400)
    assert np.ptp(grey) > 200


def test_its_best_weights_give_the_reported_loss_in_the_articles_network(ran, keras_runner, torch_runner) -> None:
    framework, folder, printed = ran
    data = load()
    logits = LOGITS[framework](folder / FRAMEWORKS[framework].checkpoint, scale(data.test_images)).astype(float)
    losses, accuracies = results_of(printed)
    log_sums = np.log(np.exp(logits).sum(axis=1))
    expected = logits[np.arange(len(logits)), data.test_labels]
    assert (log_sums - expected).mean() == pytest.approx(losses[-1], abs=1e-4)
    assert (logits.argmax(axis=1) == data.test_labels).mean() == pytest.approx(accuracies[-1], abs=1e-4)


def results_of(printed: str) -> tuple[list[float], list[float]]:
    """Test losses and test accuracies, of each epoch and then of the best weights."""
    found = [re.findall(rf"(?:val_|test ){kind}:? ([\d.]+)", printed) for kind in ("loss", "accuracy")]
    losses, accuracies = ([float(number) for number in numbers] for numbers in found)
    return losses, accuracies


def keras_logits(weights: Path, images: np.ndarray) -> np.ndarray:
    from lenet.keras_model import build_model

    model = build_model()
    model.load_weights(weights)
    return model.predict(images, batch_size=1000, verbose=0)


def torch_logits(weights: Path, images: np.ndarray) -> np.ndarray:
    import torch

    from lenet.torch_model import LeNet5

    model, saved = LeNet5(), torch.load(weights)
    model.load_state_dict(dict(zip(model.state_dict(), saved.values(), strict=True)))
    with torch.inference_mode():
        return model(torch.tensor(images).permute(0, 3, 1, 2)).numpy()


LOGITS = {"keras": keras_logits, "torch": torch_logits}


def test_all_have_the_same_steps_in_the_same_order() -> None:
    titles = [[*steps(source)] for source in SOURCES.values()]
    assert titles == [["Data handling", "Model", "Callbacks", "Training process", "Results"]] * len(SCRIPTS)


@pytest.mark.parametrize("framework", SCRIPTS)
def test_it_fits_on_a_page_and_takes_only_the_data_from_this_project(framework: str) -> None:
    source = SOURCES[framework]
    assert 60 <= len(source.splitlines()) <= 110
    imports = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom)]
    ours = ("lenet", "runners", "cluster", "scripts", "tests")
    assert [ast.unparse(node) for node in imports if ast.unparse(node).split()[1].startswith(ours)] == [
        "from lenet.data import load"
    ]


@pytest.mark.parametrize("framework", SCRIPTS)
def test_every_cell_begins_with_a_marker_that_notebooks_know(framework: str) -> None:
    lines = SOURCES[framework].splitlines()
    assert lines[0] == "# %%"
    for number, line in enumerate(lines):
        if line == "# %% [markdown]":
            cell = lines[number + 1 : lines.index("# %%", number)]
            assert cell[0].startswith("# ## ")
            assert all(text.startswith("# ") for text in cell)


# The test loss after each epoch; then the learning rate, whether the weights are saved, and whether training stops.
DECISIONS = [
    (1.0, 1e-3, True, False),
    (0.9, 1e-3, True, False),
    (0.95, 1e-3, False, False),
    (0.91, 1e-4, False, False),
    (0.89995, 1e-4, True, False),  # the best so far, but by less than the 1e-4 that the learning rate waits for
    (0.95, 1e-5, False, False),
    (0.96, 1e-5, False, False),
    (0.97, 1e-6, False, True),
]


def test_keras_callbacks_decide_as_listed(tmp_path, monkeypatch, keras_runner) -> None:
    import keras

    monkeypatch.chdir(tmp_path)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(1e-3), "mse")
    cell = {"keras": keras}
    exec(steps(SOURCES["keras"])["Callbacks"], cell)
    for callback in cell["callbacks"]:
        callback.set_model(model)
        callback.on_train_begin()

    def decide(epoch: int, loss: float) -> tuple[float, bool]:
        for callback in cell["callbacks"]:
            callback.on_epoch_end(epoch, {"val_loss": loss})
        return float(model.optimizer.learning_rate), bool(model.stop_training)

    assert decisions(decide) == DECISIONS


def test_torch_callbacks_decide_as_listed(tmp_path, monkeypatch, torch_runner) -> None:
    import torch

    monkeypatch.chdir(tmp_path)
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    optimizer.step()  # the scheduler warns if it comes first
    cell: dict[str, Any] = {"torch": torch, "model": model, "optimizer": optimizer}
    exec(steps(SOURCES["torch"])["Callbacks"], cell)
    losses = []

    def decide(epoch: int, loss: float) -> tuple[float, bool]:
        losses.append(loss)
        stops = cell["after_epoch"](losses)
        return optimizer.param_groups[0]["lr"], stops

    assert decisions(decide) == DECISIONS


def decisions(decide: Callable[[int, float], tuple[float, bool]]) -> list[Any]:
    """What the callbacks do after each loss of DECISIONS; the current folder is empty before each."""
    made = []
    for epoch, (loss, *_) in enumerate(DECISIONS):
        rate, stops = decide(epoch, loss)
        saved = list(Path().iterdir())
        for path in saved:
            path.unlink()
        made.append((loss, pytest.approx(rate, rel=1e-6), bool(saved), stops))
    return made
