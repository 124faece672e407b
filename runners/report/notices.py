"""Everything that a reader should be warned of, each with a next step."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from lenet.data import TRAIN_IMAGES
from runners.core.record import RunRecord
from runners.core.spec import RunSpec
from runners.core.store import Unreadable
from runners.core.study import run_specs, settings_of, to_do
from runners.report.inputs import Inputs
from runners.report.metrics import BY_NAME, SEEDS_FOR_A_VERDICT
from runners.report.sections.comparison.table import are_matched
from runners.report.statistics.means import outliers
from runners.report.tables import by_contender, completed
from runners.report.wording import HELD_FIXED, SOURCES, from_the_root

NAMED = 10  # run ids in one notice
LIBRARIES = {"cuda": "CUDA", "cudnn": "cuDNN"}
TIMES, RESULTS = ("train_seconds", "total_seconds"), ("test_accuracy", "test_loss")


def notices(inputs: Inputs) -> list[str]:
    """Return a sentence and a next step for each thing that weakens the study."""
    checks: tuple[Callable[[Inputs], list[str]], ...] = (
        _of_the_audit,
        _skipped,
        _missing,
        _not_completed,
        _without_a_pair,
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
        _without_predictions,
    )
    return [*inputs.damaged, *(notice for check in checks for notice in check(inputs))]


def _of_the_audit(inputs: Inputs) -> list[str]:
    """Say what the parity audit leaves open of a matched study."""
    plan, audit, out = inputs.plan, inputs.audit, f"--out {from_the_root(inputs.folder)}"
    if "matched" not in plan.tracks or len(plan.contenders) < 2:
        return []
    if audit is None:
        named = " ".join(map(str, plan.contenders))
        options = f"--batch-size {plan.batch_size} --threads {plan.threads} --device {plan.device}"
        lacking = "The folder has no parity audit of these contenders, this code and these settings"
        return [f"{lacking}; python scripts/audit.py {named} {options} {out} does it."]
    if audit.failed:
        first = audit.failed[0]
        fails = f"not matched: the parity audit's check of {first.check} ({first.precision}) fails. {first.finding}"
        return [f"{', '.join(sorted(audit.unmatched))}: {fails}; mend that, and use another --out."]
    seen = {e.gpu_model or e.cpu_model for r in inputs.records if (e := r.environment) and r.spec.track == "matched"}
    elsewhere = sorted(seen - set(audit.machines))
    advice = f"repeat python scripts/audit.py {out} where a run lands there."
    return [f"Runs on {', '.join(elsewhere)} were not audited there; {advice}"] if elsewhere else []


def _named(ids: Sequence[str], between: str = ", ") -> str:
    """Name the first ten, and how many more there are: a large study may have thousands."""
    more = len(ids) - NAMED
    return between.join(ids[:NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _listed(files: Sequence[Unreadable], name: Callable[[Unreadable], str]) -> str:
    return _named([f"{name(item)}: {item.reason}" for item in files], between="; ")


def _skipped(inputs: Inputs) -> list[str]:
    files = _listed(inputs.unreadable, lambda item: str(item.path))
    skipped = f"{len(inputs.unreadable)} file(s) skipped that hold no record of this study ({files})"
    return [f"{skipped}: delete them and repeat the command."] if files else []


def _missing(inputs: Inputs) -> list[str]:
    absent = [spec.run_id for spec in to_do(inputs.plan, {record.run_id for record in inputs.records})]
    missing = f"{len(absent)} run(s) of the plan have no record yet ({_named(absent)})"
    return [f"{missing}: repeat the command to do them."] if absent else []


def _not_completed(inputs: Inputs) -> list[str]:
    advice = {
        "failed": "read its error below, mend the cause, and repeat the command with --retry-failed.",
        "oom": "free memory or lower --batch-size, and repeat the command with --retry-failed.",
        "diverged": "it is kept out of the means; a smaller --learning-rate usually helps.",
    }
    ids = {status: [r.run_id for r in inputs.records if r.status == status] for status in advice}
    return [f"{len(ids[s])} run(s) {s} ({_named(ids[s])}): {advice[s]}" for s in advice if ids[s]]


def _without_a_pair(inputs: Inputs) -> list[str]:
    """Name the seeds that are not in every pair, and why; a seed without any record was not left out yet."""
    ended = {record.run_id: record.status for record in inputs.records}
    specs = [spec for spec in run_specs(inputs.plan) if _has_a_pair(spec, inputs)]
    begun = {spec.seed for spec in specs if spec.run_id in ended}
    wanting = [spec for spec in specs if spec.seed in begun and ended.get(spec.run_id) != "completed"]
    if not wanting:
        return []
    seeds = list(dict.fromkeys(str(spec.seed) for spec in wanting))
    runs = _named([f"{spec.run_id}: {ended.get(spec.run_id, 'no record')}" for spec in wanting], between="; ")
    out = f"{len(seeds)} of {len(inputs.plan.seeds)} seeds ({_named(seeds)}) are not in all pairs, for want of {runs}"
    return [f"{out}. Differences are of the seeds that both sides completed; complete these runs to have theirs too."]


def _has_a_pair(spec: RunSpec, inputs: Inputs) -> bool:
    """Return whether another contender's run of the same seed is compared with this one."""
    others = (str(contender) for contender in inputs.plan.contenders if contender != spec.contender)
    return any(are_matched(str(spec.contender), other, spec.track, inputs) for other in others)


def _without_predictions(inputs: Inputs) -> list[str]:
    files = _listed(inputs.unpredicted, lambda item: item.path.name)
    advice = "left out of the agreement; delete their records in runs/ and repeat the command to do them again."
    return [f"{len(inputs.unpredicted)} completed run(s) without predictions ({files}): {advice}"] if files else []


def _retried(inputs: Inputs) -> list[str]:
    ids = [record.run_id for record in inputs.records if record.attempts > 1]
    advice = "its times are those of the last attempt alone; see Ray's worker logs for why processes died."
    return [f"A process died and its run was done anew ({_named(ids)}): {advice}"] if ids else []


def _target_unreached(inputs: Inputs) -> list[str]:
    target, done = inputs.plan.target_accuracy, completed(inputs.runs)
    ids = list(done.loc[done["seconds_to_accuracy"].isna(), "run_id"])
    if target is None or not ids:
        return []
    unreached = f"{len(ids)} of {len(done)} completed run(s) never reached {100 * target:g} % test accuracy"
    advice = "no mean time has them, and in wins they are losses; use a lower --target-accuracy or more --epochs, and "
    return [f"{unreached} ({_named(ids)}): {advice}another --out."]


def _few_seeds(inputs: Inputs) -> list[str]:
    seeds, enough = len(inputs.plan.seeds), SEEDS_FOR_A_VERDICT
    if seeds >= enough:
        return []
    return [f"{seeds} seed(s) carry no verdict; repeat the command with --seeds {enough} or more to top up."]


def _held_fixed(inputs: Inputs) -> list[str]:
    vary = inputs.plan.vary
    if vary == "all":
        return []
    fixed = f"Every run had the {HELD_FIXED[vary]} of seed {inputs.plan.seeds[0]}, and differed in {SOURCES[vary]}"
    advice = "what is found holds for that one draw; for an answer over seeds, use --vary all and another --out."
    return [f"{fixed}: {advice}"]


def _different_batches(inputs: Inputs) -> list[str]:
    plan = inputs.plan
    settings = {str(contender): settings_of(plan, contender) for contender in plan.contenders}
    if len({own["batch_size"] for own in settings.values()}) < 2:
        return []
    batches = ", ".join(
        f"{name} {own['batch_size']} at a learning rate of {own['optimizer'].learning_rate:.4g}"
        for name, own in settings.items()
    )
    audited = f"the parity audit holds all of them to batches of {plan.batch_size}" if "matched" in plan.tracks else ""
    recipe = (
        f"Images a step (--scaling weak, --lr-rule {plan.lr_rule}): {batches}. Another batch size is another recipe"
    )
    advice = "for accuracies that compare, use --scaling strong and another --out."
    return [f"{recipe}, so these do not pair{f', and {audited}' if audited else ''}; {advice}"]


def _one_order_for_all_epochs(inputs: Inputs) -> list[str]:
    """Each epoch of training is meant to see the images in a new order."""
    several = [record for record in inputs.records if len(record.epoch_orders_sha256) > 1]
    repeating = [record for record in several if len(set(record.epoch_orders_sha256)) == 1]
    names = list(dict.fromkeys(str(record.spec.contender) for record in repeating))
    if not names:
        return []
    return [
        f"In native, {' and '.join(names)} saw the training images in the same order in all epochs of a run: that is "
        "the framework's own default, and another order for each epoch is usual. Use --track matched for the same "
        "orders in all contenders."
    ]


def _part_of_the_data(inputs: Inputs) -> list[str]:
    limit = inputs.plan.limit_train
    if limit == TRAIN_IMAGES:
        return []
    return [f"Only {limit} of {TRAIN_IMAGES} training images were used; leave --limit-train out for all."]


def _busy_machine(inputs: Inputs) -> list[str]:
    """A load above the number of cores before the run began means that something else was running."""
    seen = [record.environment for record in inputs.records if record.environment]
    busy = sorted({e.node for e in seen if e.load_before > e.cpu_cores + 1})
    return (
        [f"{', '.join(busy)} had more work than cores; repeat on an idle machine to trust the times."] if busy else []
    )


def _different_machines(inputs: Inputs) -> list[str]:
    seen: dict[str, dict[str, None]] = {}
    for record in inputs.records:
        for fact, value in _of_the_machine(record).items():
            seen.setdefault(fact, {})["none" if value is None else str(value)] = None
    differ = [f"{fact} ({_named(list(values), '; ')})" for fact, values in seen.items() if len(values) > 1]
    advice = "compare times only among runs in which they are equal."
    return [f"The runs saw machines that differ in {', '.join(differ)}: {advice}"] if differ else []


def _of_the_machine(record: RunRecord) -> dict[str, str | int | None]:
    """Return what times depend on. CUDA and cuDNN come with a framework, so they are compared within it alone."""
    if (seen := record.environment) is None:
        return {}
    framework = record.spec.contender.framework
    libraries = {f"{framework}'s {label}": seen.versions.get(name) for name, label in LIBRARIES.items()}
    processor: dict[str, str | int | None] = {"processor": seen.cpu_model, "cores": seen.cpu_cores}
    return {**processor, "GPU": seen.gpu_model, "GPU driver": seen.gpu_driver, **libraries}


def _unusual_times(inputs: Inputs) -> list[str]:
    return _unusual(TIMES, inputs, 5, "see what else its machine did, and repeat into another --out.")


def _unusual_results(inputs: Inputs) -> list[str]:
    if inputs.plan.vary == "nothing":  # most may be equal to the last bit, and then any other is far from them
        return []
    # These differ by chance alone, and among few runs some lie so close that another seems far out.
    return _unusual(RESULTS, inputs, 10, "look at its learning curve; more seeds would tell how rare it is.")


def _unusual(names: Sequence[str], inputs: Inputs, fewest: int, advice: str) -> list[str]:
    """Return a notice for each metric with runs far from their group's; a run is named for the first such metric only.

    Groups of less than `fewest` runs are left out.
    """
    named: set[str] = set()
    found = []
    for name in names:
        ids = [run_id for run_id in _far_out(name, inputs, fewest) if run_id not in named]
        named.update(ids)
        if ids:
            found.append(f"{BY_NAME[name].label} far from its group's ({_named(ids)}): kept in the means; {advice}")
    return found


def _far_out(name: str, inputs: Inputs, fewest: int) -> Iterator[str]:
    for _, _, group in by_contender(completed(inputs.runs)):
        known = group[np.isfinite(group[name].astype(float))]
        if len(known) >= fewest:
            yield from known.loc[outliers(known[name]), "run_id"]
