"""report.html: one file with everything in it."""

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from runners.record import RunRecord
from runners.registry import FRAMEWORKS
from runners.report import audit, divergence
from runners.report.agreement import SEEDS_FOR_ALL_PAIRS, agreement_sentences
from runners.report.defaults_worth import has_both_tracks
from runners.report.ease import RULES, ease_table
from runners.report.scaling import NOTE, scaling_grid, scaling_sentences
from runners.report.wording import (
    ABSENT,
    EXACTLY_ZERO,
    HELD_FIXED,
    SOURCES,
    agreement_grid,
    labelled_sentences,
    number,
    summary_grid,
    variance_grid,
)

if TYPE_CHECKING:
    from runners.report.build import Report

TEMPLATE = "page.html"
PLOT_TEXTS = {
    "train_loss": "Train loss by epoch, each run and the mean of each contender",
    "test_loss": "Test loss by epoch, each run and the mean of each contender",
    "test_accuracy": "Test accuracy by epoch, each run and the mean of each contender",
    "seconds_per_epoch": "Training seconds by epoch, each run and the mean of each contender",
    "scaling": "Training seconds per epoch against replicas, and what they would be if nothing were lost",
    "divergence": "How far weights are apart after each step: frameworks, and each framework with other threads",
    "split_clock": "Where a run's seconds go: mean seconds of each stage for each contender",
}


def render(report: "Report") -> str:
    """The page as HTML text, with no link to anything outside it."""
    templates = Environment(
        loader=PackageLoader("runners.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return templates.get_template(TEMPLATE).render(
        title=f"Level Field: {' against '.join(str(c) for c in report.study.plan.contenders)}",
        study=report.study,
        plan=report.study.plan,
        sentences=labelled_sentences(report.comparisons),
        control=report.control,
        notices=report.notices,
        audit=report.audit,
        audit_summary=audit.summary(report.audit) if report.audit else None,
        audit_heading=audit.HEADING,
        audit_rows=audit.audit_grid(report.audit) if report.audit else [],
        defaults_grid=audit.defaults_grid(report.audit) if report.audit and report.audit.defaults else [],
        parting=divergence.sentences(report.divergence) if report.divergence else [],
        parting_heading=divergence.HEADING,
        parting_rows=divergence.divergence_grid(report.divergence) if report.divergence else [],
        varied=SOURCES[report.study.plan.vary],
        held_fixed=HELD_FIXED.get(report.study.plan.vary),
        variance=variance_grid(report.variance),
        scaling=scaling_grid(report.scaling),
        scaling_sentences=scaling_sentences(report.scaling),
        scaling_note=NOTE,
        exactly_zero=EXACTLY_ZERO if (report.variance["sd"] == 0).any() else "",
        summary=summary_grid(report.summary),
        plots=[(PLOT_TEXTS[path.stem], _data_uri(path.with_suffix(".svg"))) for path in report.plots],
        defaults=report.defaults["sentence"],
        has_both_tracks=has_both_tracks(report.study.plan),
        agreements=agreement_grid(report.agreements),
        agreement_sentences=agreement_sentences(report.agreements),
        seeds_for_all_pairs=SEEDS_FOR_ALL_PAIRS,
        frameworks=[framework.label for framework in FRAMEWORKS.values()],
        ease=[(row.aspect, [row.cells[name] for name in FRAMEWORKS], row.counted) for row in ease_table()],
        ease_rules=RULES,
        environments=_environments(report.records),
        unsuccessful=report.unsuccessful,
        runs=[_run_cells(record) for record in report.records],
    )


def _data_uri(path: Path) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(path.read_bytes()).decode()


def _environments(records: tuple[RunRecord, ...]) -> list[tuple[str, list[tuple[str, str]]]]:
    """What the runs of each contender and track saw; where runs differ, every value seen."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        if record.environment:
            facts = _facts(record)
            groups.setdefault(f"{record.spec.contender}, {record.spec.track}", []).append(facts)
    return [
        (name, [(key, "; ".join(dict.fromkeys(str(facts.get(key)) for facts in seen))) for key in seen[0]])
        for name, seen in groups.items()
    ]


def _facts(record: RunRecord) -> dict[str, Any]:
    seen = record.environment
    assert seen is not None
    facts = {
        "node": seen.node,
        "processor": f"{seen.cpu_model}, {seen.cpu_cores} cores, {seen.memory_bytes / 2**30:.0f} GiB",
        "GPU": f"{seen.gpu_model}, driver {seen.gpu_driver}" if seen.gpu_model else "none used",
        "system": seen.os,
        **{f"version of {package}": version for package, version in seen.versions.items()},
        **{name.replace("_", " "): value for name, value in seen.flags.items()},
        "git commit": seen.git_commit,
        "SHA-256 of the data": seen.data_sha256[:12],
        "SHA-256 of the code": seen.code_sha256[:12],
    }
    if record.clock and record.clock.train_seconds:
        facts["cores in use while training"] = f"{record.clock.train_cpu_seconds / record.clock.train_seconds:.1f}"
    return facts


def _run_cells(record: RunRecord) -> tuple[str, ...]:
    last, clock, seen = record.epochs[-1] if record.epochs else None, record.clock, record.environment
    return (
        record.run_id,
        record.status,
        str(record.attempts),
        number(last.test_accuracy if last else None, 4),
        number(last.test_loss if last else None, 4),
        number(clock.train_seconds if clock else None, 1),
        f"{seen.load_before:.1f} / {seen.load_after:.1f}" if seen else ABSENT,
        (record.init_sha256 or ABSENT)[:8],
        (record.order_sha256 or ABSENT)[:8],
    )
