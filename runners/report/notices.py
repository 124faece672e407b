"""Everything a reader should be warned of, in one place, each with a next step."""

from collections.abc import Callable, Sequence
from math import isfinite
from pathlib import Path

from lenet.data import TRAIN_IMAGES
from runners.audit import Audit
from runners.record import RunRecord
from runners.report.statistics import outliers
from runners.report.tables import seconds_to_accuracy
from runners.report.wording import HELD_FIXED, SOURCES
from runners.store import Unreadable
from runners.study import Plan, run_specs, settings_of

NAMED = 10  # run ids in one notice
Measure = tuple[str, Callable[[RunRecord], float | None]]


def notices(
    plan: Plan, records: Sequence[RunRecord], unreadable: Sequence[Unreadable], unpredicted: Sequence[Unreadable] = ()
) -> list[str]:
    """One sentence and a half for each thing that weakens the study; `unpredicted` are unreadable predictions."""
    checks: tuple[Callable[[Plan, Sequence[RunRecord]], list[str]], ...] = (
        _missing,
        _not_completed,
        _retried,
        _target_unreached,
        _few_seeds,
        _held_fixed,
        _different_batches,
        _part_of_the_data,
        _busy_machine,
        _different_machines,
        _unusual_times,
        _unusual_results,
    )
    damaged = [f"{item.path} was skipped ({item.reason}); delete it and repeat the command." for item in unreadable]
    return damaged + [notice for check in checks for notice in check(plan, records)] + _without_predictions(unpredicted)


def audit_notices(folder: Path, plan: Plan, records: Sequence[RunRecord], audit: Audit | None) -> list[str]:
    """What the parity audit leaves open of a matched study."""
    if "matched" not in plan.tracks or len(plan.contenders) < 2:
        return []
    if audit is None:
        named = " ".join(map(str, plan.contenders))
        options = f"--batch-size {plan.batch_size} --threads {plan.threads} --device {plan.device} --out {folder}"
        lacking = "The folder has no parity audit of these contenders, this code and these settings"
        return [f"{lacking}; python scripts/audit.py {named} {options} does it."]
    if audit.failed:
        first = audit.failed[0]
        told = f"not matched: the parity audit's check of {first.check} ({first.precision}) fails. {first.finding}"
        return [f"{', '.join(sorted(audit.unmatched))}: {told}; mend that, and use another --out."]
    seen = {e.gpu_model or e.cpu_model for r in records if (e := r.environment) and r.spec.track == "matched"}
    elsewhere = sorted(seen - set(audit.machines))
    advice = f"repeat python scripts/audit.py --out {folder} where a run lands there."
    return [f"Runs on {', '.join(elsewhere)} were not audited there; {advice}"] if elsewhere else []


def named(ids: Sequence[str], between: str = ", ") -> str:
    """The first of them, and how many more: a large study may have thousands."""
    more = len(ids) - NAMED
    return between.join(ids[:NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _missing(plan: Plan, records: Sequence[RunRecord]) -> list[str]:
    absent = len(run_specs(plan)) - len(records)
    return [f"{absent} run(s) of the plan have no record yet; repeat the command to do them."] if absent else []


def _not_completed(_plan: Plan, records: Sequence[RunRecord]) -> list[str]:
    found = []
    for status, advice in (
        ("failed", "read its error below, mend the cause, and repeat the command with --retry-failed."),
        ("oom", "free memory or lower --batch-size, and repeat the command with --retry-failed."),
        ("diverged", "it is kept out of the means; a smaller --learning-rate usually helps."),
    ):
        ids = [record.run_id for record in records if record.status == status]
        if ids:
            found.append(f"{len(ids)} run(s) {status} ({named(ids)}): {advice}")
    return found


def _without_predictions(unpredicted: Sequence[Unreadable]) -> list[str]:
    files = named([f"{item.path.name}: {item.reason}" for item in unpredicted], between="; ")
    advice = "left out of the agreement; delete their records in runs/ and repeat the command to do them again."
    return [f"{len(unpredicted)} completed run(s) without predictions ({files}): {advice}"] if files else []


def _retried(_plan: Plan, records: Sequence[RunRecord]) -> list[str]:
    ids = [record.run_id for record in records if record.attempts > 1]
    advice = "its times are those of the last attempt alone; see Ray's worker logs for why processes died."
    return [f"A process died and its run was done anew ({named(ids)}): {advice}"] if ids else []


def _target_unreached(plan: Plan, records: Sequence[RunRecord]) -> list[str]:
    target, done = plan.target_accuracy, [record for record in records if record.status == "completed"]
    ids = [record.run_id for record in done if target and seconds_to_accuracy(record, target) is None]
    if target is None or not ids:
        return []
    told = f"{len(ids)} of {len(done)} completed run(s) never reached {100 * target:g} % test accuracy"
    advice = "no mean time has them, and in wins they are losses; use a lower --target-accuracy or more --epochs, and "
    return [f"{told} ({named(ids)}): {advice}another --out."]


def _few_seeds(plan: Plan, _records: Sequence[RunRecord]) -> list[str]:
    if len(plan.seeds) >= 5:
        return []
    return [f"{len(plan.seeds)} seed(s) carry no verdict; repeat the command with --seeds 5 or more to top up."]


def _held_fixed(plan: Plan, _records: Sequence[RunRecord]) -> list[str]:
    if plan.vary == "all":
        return []
    fixed = f"Every run had the {HELD_FIXED[plan.vary]} of seed {plan.seeds[0]}, and differed in {SOURCES[plan.vary]}"
    advice = "what is found holds for that one draw; for an answer over seeds, use --vary all and another --out."
    return [f"{fixed}: {advice}"]


def _different_batches(plan: Plan, _records: Sequence[RunRecord]) -> list[str]:
    settings = {str(contender): settings_of(plan, contender) for contender in plan.contenders}
    if len({of_it["batch_size"] for of_it in settings.values()}) < 2:
        return []
    told = ", ".join(
        f"{name} {of_it['batch_size']} at a learning rate of {of_it['optimizer'].learning_rate:.4g}"
        for name, of_it in settings.items()
    )
    audited = f"the parity audit holds all of them to batches of {plan.batch_size}" if "matched" in plan.tracks else ""
    recipe = f"Images a step (--scaling weak, --lr-rule {plan.lr_rule}): {told}. Another batch size is another recipe"
    advice = "for accuracies that compare, use --scaling strong and another --out."
    return [f"{recipe}, so these do not pair{f', and {audited}' if audited else ''}; {advice}"]


def _part_of_the_data(plan: Plan, _records: Sequence[RunRecord]) -> list[str]:
    if plan.limit_train == TRAIN_IMAGES:
        return []
    return [f"Only {plan.limit_train} of {TRAIN_IMAGES} training images were used; leave --limit-train out for all."]


def _busy_machine(_plan: Plan, records: Sequence[RunRecord]) -> list[str]:
    """A load above the cores before the run even began means that something else was running."""
    seen = [record.environment for record in records if record.environment]
    busy = sorted({e.node for e in seen if e.load_before > e.cpu_cores + 1})
    return (
        [f"{', '.join(busy)} had more work than cores; repeat on an idle machine to trust the times."] if busy else []
    )


def _different_machines(_plan: Plan, records: Sequence[RunRecord]) -> list[str]:
    kinds = {(e.cpu_model, e.cpu_cores, e.gpu_model) for record in records if (e := record.environment)}
    if len(kinds) < 2:
        return []
    return [f"The runs saw {len(kinds)} kinds of machine; compare times within one kind only."]


def _unusual_times(_plan: Plan, records: Sequence[RunRecord]) -> list[str]:
    measures: tuple[Measure, ...] = (
        ("Training time", lambda record: record.clock.train_seconds if record.clock else None),
        ("Total time", lambda record: record.clock.total_seconds if record.clock else None),
    )
    return _unusual(measures, records, 5, "see what else its machine did, and repeat into another --out.")


def _unusual_results(plan: Plan, records: Sequence[RunRecord]) -> list[str]:
    measures: tuple[Measure, ...] = (
        ("Test accuracy", lambda record: record.epochs[-1].test_accuracy if record.epochs else None),
        ("Test loss", lambda record: record.epochs[-1].test_loss if record.epochs else None),
    )
    if plan.vary == "nothing":  # most may be equal to the last bit, and then any other is far from them
        return []
    # Runs differ by chance alone here, and with few of them some lie so close that another seems far out.
    return _unusual(measures, records, 10, "look at its learning curve; more seeds would tell how rare it is.")


def _unusual(measures: Sequence[Measure], records: Sequence[RunRecord], fewest: int, advice: str) -> list[str]:
    """A notice for each measure with runs far from their group's; a run is named for the first such measure only.

    Groups of less than `fewest` runs are left out.
    """
    groups: dict[tuple[str, str], list[RunRecord]] = {}
    for record in records:
        if record.status == "completed":
            groups.setdefault((str(record.spec.contender), record.spec.track), []).append(record)
    told: set[str] = set()
    found = []
    for name, measure in measures:
        ids = [run_id for group in groups.values() for run_id in _far_out(group, measure, fewest) if run_id not in told]
        told.update(ids)
        if ids:
            found.append(f"{name} far from its group's ({named(ids)}): kept in the means; {advice}")
    return found


def _far_out(group: Sequence[RunRecord], measure: Callable[[RunRecord], float | None], fewest: int) -> list[str]:
    values = [(record.run_id, value) for record in group if (value := measure(record)) is not None and isfinite(value)]
    if len(values) < fewest:
        return []
    flags = outliers([value for _, value in values])
    return [run_id for (run_id, _), odd in zip(values, flags, strict=True) if odd]
