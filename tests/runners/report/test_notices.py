from pathlib import Path

import pytest

from runners.core.spec import RunSpec
from runners.core.store import Unreadable
from runners.core.study import run_specs
from runners.report import notices as module
from tests.runners.report.conftest import made_inputs


def notices(plan, records, unreadable=(), unpredicted=(), **given):
    return module.notices(made_inputs(plan, records, unreadable=unreadable, unpredicted=unpredicted, **given))


@pytest.fixture
def clean(make_record, make_plan):
    """A plan and records of which there is nothing to say."""

    def of(seeds=5, **given):
        plan = make_plan(seeds=range(seeds), **given)
        return plan, [make_record(name, seed, **given) for seed in range(seeds) for name in ("keras", "torch")]

    return of


def changed(records, run_id, **update):
    return [r.model_copy(update=update) if r.run_id == run_id else r for r in records]


def elsewhere(record, **update):
    return record.model_copy(update={"environment": record.environment.model_copy(update=update)})


def test_a_clean_study_gets_no_notice(clean):
    assert notices(*clean(), []) == []


def test_a_file_that_is_no_record_is_named_with_its_path_and_reason(clean):
    found = notices(*clean(), [Unreadable(Path("results/runs/x.json"), "damaged")])
    assert found == [
        "1 file(s) skipped that hold no record of this study (results/runs/x.json: damaged): delete them and repeat "
        "the command."
    ]


def test_many_files_that_are_no_records_have_one_notice_with_their_number_and_the_first_names(clean):
    (notice,) = notices(*clean(), [Unreadable(Path(f"runs/{n}.json"), "damaged") for n in range(1, 1_013)])
    assert notice.startswith(
        "1012 file(s) skipped that hold no record of this study (runs/1.json: damaged; runs/2.json"
    )
    assert "runs/10.json: damaged and 1,002 more): delete them" in notice


def test_missing_runs_are_counted_and_named_and_the_command_does_them(clean):
    plan, records = clean()
    missing, _ = notices(plan, records[:-3], [])
    names = {"torch-matched-seed3", "keras-matched-seed4", "torch-matched-seed4"}
    told, _, named = missing.partition(" (")
    assert told == "3 run(s) of the plan have no record yet"
    assert set(named.partition("): ")[0].split(", ")) == names
    assert missing.endswith("): repeat the command to do them.")


PAIRED = "Differences are of the seeds that both sides completed; complete these runs to have theirs too."


def test_seeds_left_out_of_pairs_are_named_with_the_runs_for_want_of_which_they_are(clean):
    plan, records = clean()
    records = changed(
        changed(records, "keras-matched-seed1", status="failed"), "torch-matched-seed2", status="diverged"
    )
    found = notices(plan, [r for r in records if r.run_id != "keras-matched-seed4"], [])
    (left_out,) = [notice for notice in found if "pairs" in notice]
    assert left_out == (
        "3 of 5 seeds (1, 2, 4) are not in all pairs, for want of keras-matched-seed1: failed; torch-matched-seed2: "
        f"diverged; keras-matched-seed4: no record. {PAIRED}"
    )


def test_many_seeds_left_out_are_counted_and_the_first_named(clean):
    plan, records = clean(30)
    (missing, left_out) = notices(plan, [r for r in records if r.spec.seed < 5 or str(r.spec.contender) == "keras"], [])
    assert left_out.startswith(
        "25 of 30 seeds (5, 6, 7, 8, 9, 10, 11, 12, 13, 14 and 15 more) are not in all pairs, for"
    )
    assert left_out.endswith(f"torch-matched-seed14: no record and 15 more. {PAIRED}")
    assert "torch-matched-seed14 and 15 more): repeat" in missing


def test_what_does_not_pair_leaves_no_seed_out(clean, make_plan, make_record):
    plan, records = clean()
    records = changed(records, "keras-matched-seed1", status="failed")
    assert not [told for told in notices(plan, records, [], unmatched=("torch",)) if "pairs" in told]
    native = [make_record("keras", seed, "native") for seed in range(5)]
    assert len(notices(make_plan(tracks=("native",)), native, [])) == 1  # what is missing
    alone = [make_record("keras", seed) for seed in range(4)]
    assert len(notices(make_plan(contenders=("keras",)), alone, [])) == 1


def test_a_seed_of_which_nothing_is_done_yet_is_only_missing(clean):
    plan, records = clean()
    (missing,) = notices(plan, records[:-2], [])
    assert missing.startswith("2 run(s) of the plan have no record yet")


@pytest.mark.parametrize(
    ("status", "next_step"),
    [
        ("failed", "read its error below, mend the cause, and repeat the command with --retry-failed."),
        ("oom", "free memory or lower --batch-size, and repeat the command with --retry-failed."),
        ("diverged", "a smaller --learning-rate usually helps."),
    ],
)
def test_runs_that_did_not_complete_are_counted_and_named(clean, status, next_step):
    plan, records = clean()
    records = changed(changed(records, "keras-matched-seed1", status=status), "torch-matched-seed3", status=status)
    notice, _ = notices(plan, records, [])
    assert notice.startswith(f"2 run(s) {status} (keras-matched-seed1, torch-matched-seed3): ")
    assert notice.endswith(next_step)


def test_completed_runs_without_predictions_are_named_with_the_next_step(clean):
    lost = [Unreadable(Path("results/predictions/x.npy"), "missing"), Unreadable(Path("y.npy"), "damaged: cut off")]
    assert notices(*clean(), [], lost) == [
        "2 completed run(s) without predictions (x.npy: missing; y.npy: damaged: cut off): left out of the agreement; "
        "delete their records in runs/ and repeat the command to do them again."
    ]


def test_a_run_done_anew_is_named(clean):
    plan, records = clean()
    (notice,) = notices(plan, changed(records, "keras-matched-seed1", attempts=2), [])
    assert "done anew (keras-matched-seed1)" in notice
    assert "times are those of the last attempt alone" in notice
    assert "see Ray's worker logs" in notice


def test_runs_that_never_reached_the_target_are_counted_and_named(clean, make_record):
    plan, records = clean()
    slow = make_record("torch", 4, test_accuracies=[0.80, 0.84])
    declared = plan.model_copy(update={"target_accuracy": 0.845})
    assert notices(declared, records, []) == notices(plan, [*records[:-1], slow], []) == []
    assert notices(declared, [*records[:-1], slow], []) == [
        "1 of 10 completed run(s) never reached 84.5 % test accuracy (torch-matched-seed4): no mean time has them, and "
        "in wins they are losses; use a lower --target-accuracy or more --epochs, and another --out."
    ]
    failed = changed([*records[:-1], slow], slow.run_id, status="failed")
    assert not [notice for notice in notices(declared, failed, []) if "never reached" in notice]


@pytest.mark.parametrize(("seeds", "noted"), [(1, True), (4, True), (5, False)])
def test_fewer_than_five_seeds_carry_no_verdict(clean, seeds, noted):
    sentence = f"{seeds} seed(s) carry no verdict; repeat the command with --seeds 5 or more to top up."
    assert notices(*clean(seeds), []) == ([sentence] if noted else [])


@pytest.mark.parametrize(
    ("vary", "told"),
    [
        ("init", "batch order of seed 3, and differed in initial weights only"),
        ("order", "initial weights of seed 3, and differed in batch order only"),
        (
            "nothing",
            "initial weights and batch order of seed 3, and differed in nothing (what remains is nondeterminism)",
        ),
    ],
)
def test_what_was_held_fixed_is_told_and_that_it_is_no_answer_over_seeds(make_record, make_plan, vary, told):
    plan = make_plan(seeds=(3, 0, 1, 2, 4), vary=vary)
    records = [make_record(**{name: getattr(spec, name) for name in RunSpec.model_fields}) for spec in run_specs(plan)]
    advice = "what is found holds for that one draw; for an answer over seeds, use --vary all and another --out."
    assert notices(plan, records, []) == [f"Every run had the {told}: {advice}"]


@pytest.mark.parametrize(("orders", "told"), [("aa", True), ("ab", False), ("a", False), ("", False)])
def test_one_order_for_all_epochs_of_a_run_is_told(clean, orders, told):
    plan, records = clean()
    hashes = tuple(order * 64 for order in orders)
    records = changed(records, "torch-matched-seed2", epoch_orders_sha256=hashes)
    found = notices(plan, records, [])
    assert len(found) == told
    assert not told or found[0].startswith("In native, torch saw the training images in the same order in all epochs")


def test_part_of_the_data_is_told(clean):
    assert notices(*clean(limit_train=6_000), []) == [
        "Only 6000 of 60000 training images were used; leave --limit-train out for all."
    ]


@pytest.mark.parametrize(("load", "noted"), [(8.9, False), (9.1, True)])
def test_a_machine_with_more_work_than_cores_is_named(clean, load, noted):
    plan, (first, *rest) = clean()
    found = notices(plan, [elsewhere(first, load_before=load), *rest], [])
    assert found == (["node-1 had more work than cores; repeat on an idle machine to trust the times."] * noted)


@pytest.mark.parametrize(
    ("update", "told"),
    [
        ({"cpu_model": "Another CPU"}, "processor (Another CPU; Made-up CPU)"),
        ({"cpu_cores": 16}, "cores (16; 8)"),
        ({"gpu_model": "Another GPU"}, "GPU (Another GPU; none)"),
        ({"gpu_driver": "560.35"}, "GPU driver (560.35; none)"),
        ({"versions": {"cuda": "12.5"}}, "keras's CUDA (12.5; none)"),
        ({"versions": {"cudnn": "9"}}, "keras's cuDNN (9; none)"),
        ({"cpu_cores": 16, "gpu_driver": "560.35"}, "cores (16; 8), GPU driver (560.35; none)"),
    ],
)
def test_a_change_of_hardware_driver_or_cuda_is_flagged(clean, update, told):
    plan, (first, *rest) = clean()
    (notice,) = notices(plan, [elsewhere(first, **update), *rest], [])
    advice = "compare times only among runs in which they are equal."
    assert notice == f"The runs saw machines that differ in {told}: {advice}"


def test_each_framework_s_own_cuda_is_no_change(clean):
    plan, records = clean()
    cuda = {"keras": {"cuda": "12.5"}, "torch": {"cuda": "13.0"}}
    assert notices(plan, [elsewhere(r, versions=cuda[r.spec.contender.framework]) for r in records], []) == []


def test_another_node_of_the_same_kind_is_no_change_of_hardware(clean):
    plan, (first, *rest) = clean()
    assert notices(plan, [elsewhere(first, node="node-2"), *rest], []) == []


def test_a_training_time_far_from_its_group_s_is_named(clean, make_record):
    plan, records = clean()
    slow = make_record("torch", 4, train_seconds=60.0)
    (notice,) = notices(plan, [*records[:-1], slow], [])
    assert notice.startswith("Training time far from its group's (torch-matched-seed4): kept in the means; ")
    late = make_record("torch", 4, total_seconds=60.0)
    (notice,) = notices(plan, [*records[:-1], late], [])
    assert notice == (
        "Total time far from its group's (torch-matched-seed4): kept in the means; see what else its machine did, and "
        "repeat into another --out."
    )
    assert len(notices(plan, [*records[:8], make_record("keras", 4, total_seconds=60.0), slow], [])) == 2


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"test_accuracy": 0.1}, "Test accuracy"),
        ({"test_loss": 9.0}, "Test loss"),
        ({"test_accuracy": 0.1, "test_loss": 2.3}, "Test accuracy"),  # named once
    ],
)
def test_a_result_far_from_its_group_s_is_named(make_record, make_plan, changed, named):
    records = [make_record(name, seed) for seed in range(10) for name in ("keras", "torch")]
    odd = make_record("torch", 9, **changed)
    assert notices(make_plan(seeds=range(10)), [*records[:-1], odd], []) == [
        f"{named} far from its group's (torch-matched-seed9): kept in the means; look at its learning curve; more "
        "seeds would tell how rare it is."
    ]
    for lost in ({"status": "failed"}, {"epochs": ()}):
        gone = odd.model_copy(update=lost)
        assert not [
            told for told in notices(make_plan(seeds=range(10)), [*records[:-1], gone], []) if "far from" in told
        ]


def test_where_nothing_varied_a_run_that_is_not_like_the_others_is_no_outlier(make_record, make_plan):
    plan = make_plan(vary="nothing", seeds=range(10))
    specs = [{name: getattr(spec, name) for name in RunSpec.model_fields} for spec in run_specs(plan)]
    accuracies = [0.9] * 18 + [0.9001] * 2
    records = [
        make_record(**spec, test_accuracy=accuracy, test_loss=0.3)
        for spec, accuracy in zip(specs, accuracies, strict=True)
    ]
    assert not [told for told in notices(plan, records, []) if "far from" in told]


def test_a_time_is_unusual_only_among_its_own_contender_and_track(clean, make_record):
    plan, records = clean()
    slower = [make_record("torch", seed, train_seconds=60.0 + seed) for seed in range(5)]
    assert notices(plan, [*records[::2], *slower], []) == []


def test_each_weakness_has_a_notice_of_its_own(clean):
    plan, records = clean(4, limit_train=6_000)
    records = changed(records, "keras-matched-seed1", status="failed")
    assert len(notices(plan, records[:-1], [Unreadable(Path("x.json"), "damaged")])) == 6


def test_no_records_at_all_are_missing_runs(make_plan):
    (notice,) = notices(make_plan(), [], [])
    assert notice.startswith("10 run(s) of the plan have no record yet (")
