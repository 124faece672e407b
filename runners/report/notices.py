"""Everything a reader should be warned of, in one place, each with a next step."""

from collections.abc import Callable, Collection, Sequence
from functools import partial
from math import isfinite
from pathlib import Path

from lenet.data import TRAIN_IMAGES
from runners.core.record import RunRecord
from runners.core.spec import RunSpec
from runners.core.store import Unreadable
from runners.core.study import Plan, run_specs, settings_of, to_do
from runners.parity.checks import Audit
from runners.report.comparisons import are_matched
from runners.report.statistics import outliers
from runners.report.tables import epochs_with_own_order, seconds_to_accuracy
from runners.report.wording import HELD_FIXED, SOURCES, from_the_root

NAMED = 10  # run ids in one notice
LIBRARIES = {"cuda": "CUDA", "cudnn": "cuDNN"}
Measure = tuple[str, Callable[[RunRecord], float | None]]


def notices(
    plan: Plan,
    records: Sequence[RunRecord],
    unreadable: Sequence[Unreadable],
    unpredicted: Sequence[Unreadable] = (),
    unmatched: Collection[str] = (),
) -> list[str]:
    """One sentence and a half for each thing that weakens the study.

    `unpredicted` are unreadable predictions, `unmatched` the contenders that fail the parity audit.
    """
    checks: tuple[Callable[[Plan, Sequence[RunRecord]], list[str]], ...] = (
        _missing,
        _not_completed,
        partial(_without_a_pair, unmatched=unmatched),
        _retried,
        _target_unreached,
        _few_seeds,
        _held_fixed,
        _different_batches,
        _one_order_for_all_epochs,
        _part_of_the_data,
        _busy_machine,
        _different_machines,
        _unusual_times,
        _unusual_results,
    )
    told = [notice for check in checks for notice in check(plan, records)]
    return _skipped(unreadable) + told + _without_predictions(unpredicted)


def audit_notices(folder: Path, plan: Plan, records: Sequence[RunRecord], audit: Audit | None) -> list[str]:
    """What the parity audit leaves open of a matched study."""
    if "matched" not in plan.tracks or len(plan.contenders) < 2:
        return []
    out = f"--out {from_the_root(folder)}"
    if audit is None:
        named = " ".join(map(str, plan.contenders))
        options = f"--batch-size {plan.batch_size} --threads {plan.threads} --device {plan.device}"
        lacking = "The folder has no parity audit of these contenders, this code and these settings"
        return [f"{lacking}; python scripts/audit.py {named} {options} {out} does it."]
    if audit.failed:
        first = audit.failed[0]
        told = f"not matched: the parity audit's check of {first.check} ({first.precision}) fails. {first.finding}"
        return [f"{', '.join(sorted(audit.unmatched))}: {told}; mend that, and use another --out."]
    seen = {e.gpu_model or e.cpu_model for r in records if (e := r.environment) and r.spec.track == "matched"}
    elsewhere = sorted(seen - set(audit.machines))
    advice = f"repeat python scripts/audit.py {out} where a run lands there."
    return [f"Runs on {', '.join(elsewhere)} were not audited there; {advice}"] if elsewhere else []


def named(ids: Sequence[str], between: str = ", ") -> str:
    """The first of them, and how many more: a large study may have thousands."""
    more = len(ids) - NAMED
    return between.join(ids[:NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _skipped(unreadable: Sequence[Unreadable]) -> list[str]:
    files = named([f"{item.path}: {item.reason}" for item in unreadable], between="; ")
    told = f"{len(unreadable)} file(s) skipped that hold no record of this study ({files})"
    return [f"{told}: delete them and repeat the command."] if files else []


def _missing(plan: Plan, records: Sequence[RunRecord]) -> list[str]:
    absent = [spec.run_id for spec in to_do(plan, {record.run_id for record in records})]
    told = f"{len(absent)} run(s) of the plan have no record yet ({named(absent)})"
    return [f"{told}: repeat the command to do them."] if absent else []


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


def _without_a_pair(plan: Plan, records: Sequence[RunRecord], unmatched: Collection[str]) -> list[str]:
    """The runs for want of which a seed is not in every pair; a seed of which none is recorded was not left out yet."""
    ended = {record.run_id: record.status for record in records}
    specs = [spec for spec in run_specs(plan) if _pairs(spec, plan, unmatched)]
    begun = {spec.seed for spec in specs if spec.run_id in ended}
    wanting = [spec for spec in specs if spec.seed in begun and ended.get(spec.run_id) != "completed"]
    if not wanting:
        return []
    seeds = list(dict.fromkeys(str(spec.seed) for spec in wanting))
    runs = named([f"{spec.run_id}: {ended.get(spec.run_id, 'no record')}" for spec in wanting], between="; ")
    told = f"{len(seeds)} of {len(plan.seeds)} seeds ({named(seeds)}) are not in all pairs, for want of {runs}"
    return [f"{told}. Differences are of the seeds that both sides completed; complete these runs to have theirs too."]


def _pairs(spec: RunSpec, plan: Plan, unmatched: Collection[str]) -> bool:
    """Whether a run of the same seed is held against this one."""
    name = str(spec.contender)
    others = (str(contender) for contender in plan.contenders if contender != spec.contender)
    return any(are_matched(name, other, spec.track, plan, unmatched) for other in others)


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


def _one_order_for_all_epochs(_plan: Plan, records: Sequence[RunRecord]) -> list[str]:
    """Each epoch of training is meant to see the images in a new order."""
    several = [record for record in records if len(record.epoch_orders_sha256) > 1]
    repeating = [record for record in several if epochs_with_own_order(record) == 1]
    names = list(dict.fromkeys(str(record.spec.contender) for record in repeating))
    if not names:
        return []
    return [
        f"In native, {' and '.join(names)} saw the training images in the same order in all epochs of a run: that is "
        "the framework's own default, and another order for each epoch is usual. Use --track matched for the same "
        "orders in all contenders."
    ]


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
    seen: dict[str, dict[str, None]] = {}
    for record in records:
        for fact, value in _of_the_machine(record).items():
            seen.setdefault(fact, {})["none" if value is None else str(value)] = None
    differ = [f"{fact} ({named(list(values), '; ')})" for fact, values in seen.items() if len(values) > 1]
    advice = "compare times only among runs in which they are equal."
    return [f"The runs saw machines that differ in {', '.join(differ)}: {advice}"] if differ else []


def _of_the_machine(record: RunRecord) -> dict[str, str | int | None]:
    """What times depend on. CUDA and cuDNN are those that the framework brought, and so no other one's."""
    if (seen := record.environment) is None:
        return {}
    framework = record.spec.contender.framework
    libraries = {f"{framework}'s {label}": seen.versions.get(name) for name, label in LIBRARIES.items()}
    processor: dict[str, str | int | None] = {"processor": seen.cpu_model, "cores": seen.cpu_cores}
    return {**processor, "GPU": seen.gpu_model, "GPU driver": seen.gpu_driver, **libraries}


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
