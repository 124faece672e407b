"""The words of whole reports: a change of wording shows as a difference of these files, and is accepted in one step.

`pytest tests/runners/report/test_snapshots.py --snapshot-update` writes them anew; read what changed before a commit.
"""

from io import StringIO

import numpy as np
import pytest
from rich.console import Console
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

from runners.core import store
from runners.parity import checks, divergence
from runners.parity.defaults import Defaults
from runners.parity.divergence import Divergence, Line
from runners.report.build import assemble
from runners.report.output import html, markdown
from runners.report.output.terminal import show, show_variance
from runners.report.pilot import FILE, Pilot
from runners.report.sections.comparison.verdict import verdict
from runners.report.sections.variance import beyond_images_sentences, precision_sentences, read_sources, variance_table
from runners.report.sections.wrong_winner import wrong_winner_sentences, wrong_winner_table
from tests.runners.report.conftest import ACCURACIES, LOSSES, an_audit, make_stub_study
from tests.runners.report.test_verdict import CASES

FOUR = ("keras", "torch", "torch#2", "torch:ddp:2")
LINES = (
    Line(a="keras, 1 thread", b="torch, 1 thread", framework=None, precision="float32", distances=(1e-8, 0.1)),
    Line(a="keras, 1 thread", b="keras, 2 threads", framework="keras", precision="float32", distances=(0.0, 1e-9)),
)


class Text(SingleFileSnapshotExtension):
    """A file a snapshot, that can be read as it is."""

    file_extension = "txt"
    _write_mode = WriteMode.TEXT


@pytest.fixture
def kept(snapshot):
    return snapshot.use_extension(Text)


def given(contenders, tracks=("matched",), seeds=range(5)):
    """Numbers of each run: torch is 0.5 points ahead and takes 7 % longer, its copies as it does."""
    numbers = {}
    for contender in contenders:
        ahead = not contender.startswith("keras")
        for track in tracks:
            for seed in seeds:
                name = contender.replace(":", "-").replace("#", "-copy")
                spread = ACCURACIES[seed % 5] + 0.0001 * len(contender) * (seed % 3)
                numbers[f"{name}-{track}-seed{seed}"] = {
                    "test_accuracy": spread + 0.005 * ahead,
                    "test_loss": LOSSES[seed % 5] + 0.001 * ahead,
                    "train_seconds": 30 + 2.1 * ahead + 0.1 * (seed % 4),
                    "total_seconds": 40 + 0.2 * (seed % 3),
                }
    return numbers


def one(folder):
    make_stub_study(folder, ("keras",), changed=given(("keras",)))


def two(folder):
    make_stub_study(folder, changed=given(("keras", "torch")))
    rng = np.random.default_rng(0)
    for path in sorted((folder / "predictions").glob("*-seed*.npy")):
        labels = store.read_labels(folder)
        wrong = rng.random(len(labels)) < 0.1
        np.save(path, np.where(wrong, (labels + 1) % 10, labels).astype(np.uint8))


def four(folder):
    tracks = ("matched", "native")
    make_stub_study(folder, FOUR, tracks=tracks, target_accuracy=0.89, changed=given(FOUR, tracks))


def weak(folder):
    contenders = ("torch", "torch:ddp:2")
    make_stub_study(folder, contenders, range(3), scaling="weak", lr_rule="sqrt", changed=given(contenders))


def one_draw(folder):
    make_stub_study(folder, vary="nothing", changed=given(("keras", "torch")))


def unmatched(folder):
    make_stub_study(folder, tracks=("matched", "native"), changed=given(("keras", "torch"), ("matched", "native")))
    checks.write(folder, an_audit(fails=True))


def beside(folder):
    """Everything that may lie beside the records: defaults, divergence and a pilot."""
    make_stub_study(folder, changed=given(("keras", "torch")))
    chosen = (
        Defaults(contender="keras", native={"epsilon": "1e-07", "same": "1"}, matched={"epsilon": "1e-07"}),
        Defaults(contender="torch", native={"epsilon": "1e-08", "same": "1"}, matched={"epsilon": "1e-07"}),
    )
    checks.write(folder, an_audit().model_copy(update={"defaults": chosen}))
    divergence.write(folder, Divergence(steps=(1, 469), lines=LINES))
    (folder / FILE).write_text(Pilot(seeds=range(5), half_width=0.0025, runs=60).model_dump_json())


STUDIES = [one, two, four, weak, one_draw, unmatched, beside]


def on_screen(show_it, what):
    console = Console(file=StringIO(), width=120, soft_wrap=True)
    show_it(what, console)
    return console.file.getvalue()


def findings(report):
    """The Markdown without what is the same in every study, and without the place of the folder."""
    return markdown.render(report).partition("## Ease of use")[0].replace(str(report.folder), "FOLDER")


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.__name__)
def test_markdown_and_screen_of_a_study(study, tmp_path, kept):
    study(tmp_path)
    report = assemble(tmp_path)
    assert findings(report) == kept(name="markdown")
    assert on_screen(show, report).replace(str(tmp_path), "FOLDER") == kept(name="screen")


def test_markdown_and_screen_where_everything_went_wrong(everything, kept):
    assert findings(everything) == kept(name="markdown")
    assert on_screen(show, everything).replace(str(everything.folder), "FOLDER") == kept(name="screen")


def test_the_page_where_everything_went_wrong(everything, kept):
    page = html.render(everything, pictures=False).replace(str(everything.folder), "FOLDER")
    before, _, rest = page[page.index("<body>") : page.index("<script>")].partition('<h2 id="ease">')
    assert before + rest[rest.index("<h2") :] == kept  # without what is counted in the source


def test_the_words_of_each_plot(everything, kept):
    assert "\n\n".join(f"{plot.name}\n{plot.caption}\n{plot.alt}" for plot in everything.plots) == kept


def test_the_sources_of_variance(tmp_path, kept):
    folders = []
    for vary in ("all", "init", "nothing"):
        (tmp_path / vary).mkdir()
        folders.append(make_stub_study(tmp_path / vary, vary=vary, changed=given(("keras", "torch"))))
    sources, _ = read_sources(folders)
    variance, wrong_winner = variance_table(sources), wrong_winner_table(sources)
    told = [*precision_sentences(variance), *wrong_winner_sentences(wrong_winner), *beyond_images_sentences(variance)]
    sentences = "\n".join(f"{vary}: {sentence}" for vary, sentence in told)
    assert f"{on_screen(show_variance, variance)}\n{sentences}\n" == kept


def test_every_verdict(kept):
    lines = []
    for name, (comparison, metric, more) in CASES.items():
        found = verdict(comparison, "Keras", "PyTorch", metric, **more)
        lines.append("\n".join([f"# {name}", found.kind, found.short, found.difference, found.would_change]))
    assert "\n\n".join(lines) == kept
