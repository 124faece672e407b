import json
from datetime import UTC, datetime
from math import inf, isnan, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from runners.core.record import Clock, Environment, EpochRow, RunRecord
from runners.core.spec import RunSpec

SPEC = RunSpec(contender="torch", seed=3, epochs=1)
ENVIRONMENT = Environment(
    node="here",
    os="Linux",
    cpu_model="a processor",
    cpu_cores=2,
    memory_bytes=2**40,
    versions={"python": "3.11", "torch": "2.13.0"},
    flags={"tf32": False, "intra_op_threads": 1, "CUDA_VISIBLE_DEVICES": None, "loss_scale": 0.5, "note": "1"},
    git_commit=None,
    code_sha256="c" * 64,
    data_sha256="d" * 64,
    load_before=0.25,
    load_after=1.5,
)


def row(**changes):
    facts = {
        "epoch": 1,
        "train_loss": 0.5,
        "train_accuracy": 0.75,
        "test_loss": 0.625,
        "test_accuracy": 0.7,
        "learning_rate": 1e-3,
        "train_seconds": 2.5,
        "eval_seconds": 0.5,
    }
    return EpochRow(**{**facts, **changes})


def record(**changes):
    facts = {
        "run_id": SPEC.run_id,
        "spec": SPEC,
        "status": "completed",
        "epochs": (row(),),
        "clock": Clock(train_seconds=2.0, other_seconds=1.0, total_seconds=3.0),
    }
    return RunRecord(**{**facts, **changes})


def assert_survives_json(whole):
    text = whole.model_dump_json()
    back = RunRecord.model_validate_json(text)
    assert back.model_dump_json() == text
    assert back.started_at == whole.started_at
    one, other = (repr(r.model_dump(exclude={"started_at"})) for r in (back, whole))  # repr, since NaN is not NaN
    assert one == other


def test_a_whole_record_survives_json():
    assert_survives_json(
        record(
            spec=SPEC.model_copy(update={"epochs": 2}),
            epochs=(row(), row(epoch=2, learning_rate=1e-4)),
            environment=ENVIRONMENT,
            attempts=2,
            node="here",
            started_at=datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=UTC),
            init_sha256="a" * 64,
            order_sha256="b" * 64,
        )
    )


def test_a_run_whose_process_died_survives_json():
    error = 'Traceback:\n  "quoted" \\ ünïcödé \x00'
    assert_survives_json(record(status="failed", error=error, epochs=(), clock=None, attempts=3))


losses = st.floats(min_value=0) | st.sampled_from([nan, inf, -inf])


@given(losses, losses, st.floats(min_value=0, allow_infinity=False))
def test_any_loss_survives_json_nan_and_infinity_included(train_loss, test_loss, learning_rate):
    last = row(train_loss=train_loss, test_loss=test_loss, learning_rate=learning_rate)
    assert_survives_json(record(status="diverged" if last.diverged else "completed", epochs=(last,)))


def test_nan_and_infinity_are_written_so_that_any_json_reader_takes_them():
    text = record(status="diverged", epochs=(row(train_loss=nan, test_loss=-inf),)).model_dump_json()
    assert '"NaN"' in text
    assert '"-Infinity"' in text
    (back,) = RunRecord.model_validate_json(text).epochs
    assert isnan(back.train_loss)
    assert back.test_loss == -inf


def test_flags_keep_their_types():
    back = Environment.model_validate_json(ENVIRONMENT.model_dump_json()).flags
    assert back == ENVIRONMENT.flags
    assert {name: type(flag) for name, flag in back.items()} == {n: type(f) for n, f in ENVIRONMENT.flags.items()}


@pytest.mark.parametrize("run_id", ["torch-matched-seed4", "", "../../x"])
def test_a_run_id_that_is_not_the_spec_s_is_refused_with_both(run_id):
    with pytest.raises(ValidationError) as refusal:
        record(run_id=run_id)
    assert repr(run_id) in str(refusal.value)
    assert repr(SPEC.run_id) in str(refusal.value)


@pytest.mark.parametrize(
    "whole", [record(), row(), ENVIRONMENT, Clock(other_seconds=1.0, total_seconds=1.0), SPEC], ids=type
)
def test_a_field_too_many_is_refused_by_name(whole):
    with pytest.raises(ValidationError, match="surplus"):
        type(whole).model_validate({**whole.model_dump(), "surplus": 1})


@pytest.mark.parametrize("field", ["run_id", "spec", "status"])
def test_a_field_too_few_is_refused_by_name(field):
    facts = record().model_dump()
    del facts[field]
    with pytest.raises(ValidationError, match=field):
        RunRecord.model_validate(facts)


@pytest.mark.parametrize(("field", "value"), [("status", "fine"), ("attempts", 0)])
def test_a_value_that_no_run_has_is_refused_by_name(field, value):
    with pytest.raises(ValidationError, match=field):
        record(**{field: value})


def test_epochs_count_from_one():
    with pytest.raises(ValidationError, match="epoch"):
        row(epoch=0)


@pytest.mark.parametrize("cut", [0, 1, 40, -1])
def test_a_truncated_record_is_refused(cut):
    with pytest.raises(ValidationError):
        RunRecord.model_validate_json(record().model_dump_json()[:cut])


@pytest.mark.parametrize("loss", [nan, inf, -inf])
def test_a_row_has_diverged_if_either_loss_is_not_finite(loss):
    assert row(train_loss=loss).diverged
    assert row(test_loss=loss).diverged
    assert not row().diverged


@pytest.mark.parametrize("missing", [{"epochs": ()}, {"clock": None}], ids=str)
def test_a_completed_run_has_epochs_and_a_clock(missing):
    with pytest.raises(ValidationError, match=r"completed but has [01] epochs, or no clock"):
        record(**missing)
    assert record(status="failed", **missing).status == "failed"


IMPOSSIBLE = {
    "an accuracy of 3": (("epochs", 0, "test_accuracy"), 3),
    "an accuracy below 0": (("epochs", 0, "train_accuracy"), -0.1),
    "an accuracy that is no number": (("epochs", 0, "test_accuracy"), "NaN"),
    "a negative loss": (("epochs", 0, "train_loss"), -1),
    "infinite seconds of training": (("epochs", 0, "train_seconds"), "Infinity"),
    "negative seconds of evaluation": (("epochs", 0, "eval_seconds"), -1),
    "a negative learning rate": (("epochs", 0, "learning_rate"), -1e-3),
    "an infinite clock": (("clock", "total_seconds"), "Infinity"),
    "a negative stage": (("clock", "compile_seconds"), -1),
    "a stage that is no number": (("clock", "data_seconds"), "NaN"),
    "no core": (("environment", "cpu_cores"), 0),
    "no memory": (("environment", "memory_bytes"), 0),
    "no attempt": (("attempts",), 0),
    "more attempts than tables hold": (("attempts",), 2**63),
    "more cores than a float holds": (("environment", "cpu_cores"), 10**400),
    "more memory than a float holds": (("environment", "memory_bytes"), 10**400),
    "a negative share": (("communication_share",), -0.5),
    "an epoch that is not the first": (("epochs", 0, "epoch"), 2),
    "more epochs than asked for": (("spec", "epochs"), 2),
    "completed with a loss that is no number": (("epochs", 0, "test_loss"), "NaN"),
    "diverged with finite losses": (("status",), "diverged"),
    "stages that do not add up": (("clock", "total_seconds"), 2.9),
    "fewer steps than none": (("steps",), -1),
    "no hash of the weights": (("init_sha256",), "a" * 63),
    "no hash of the order": (("order_sha256",), ""),
    "no hash of the code": (("environment", "code_sha256"), "none"),
    "a negative load": (("environment", "load_before"), -0.1),
    "an infinite load": (("environment", "load_after"), "Infinity"),
}


@pytest.mark.parametrize(("place", "value"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_a_value_that_no_run_can_have_is_refused(place, value):
    whole = json.loads(record(environment=ENVIRONMENT).model_dump_json())
    assert RunRecord.model_validate_json(json.dumps(whole))
    inner = whole
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    with pytest.raises(ValidationError):
        RunRecord.model_validate_json(json.dumps(whole))


def test_a_run_that_diverged_did_so_in_its_last_epoch():
    spec, ended = SPEC.model_copy(update={"epochs": 2}), row(epoch=2, test_loss=inf)
    assert record(spec=spec, status="diverged", epochs=(row(), ended)).status == "diverged"
    with pytest.raises(ValidationError, match="is diverged, but its losses contradict that"):
        record(spec=spec, status="diverged", epochs=(row(train_loss=nan), row(epoch=2)))
    with pytest.raises(ValidationError, match="is diverged, but its losses contradict that"):
        record(spec=spec, status="diverged", epochs=())


@pytest.mark.parametrize("epochs", [1, 2, 3, 4, 5])
def test_early_stopping_ends_a_run_no_sooner_than_its_patience_allows(epochs):
    spec = SPEC.model_copy(update={"epochs": 4, "early_stopping": 1})
    rows = tuple(row(epoch=epoch) for epoch in range(1, epochs + 1))
    if 2 <= epochs <= 4:
        assert len(record(spec=spec, epochs=rows).epochs) == epochs
        return
    with pytest.raises(ValidationError, match=f"completed but has {epochs} epochs"):
        record(spec=spec, epochs=rows)


def test_stages_may_miss_their_total_by_rounding():
    assert Clock(train_seconds=0.1, eval_seconds=0.2, total_seconds=0.3)


def test_an_epoch_told_twice_is_refused():
    with pytest.raises(ValidationError, match="are not numbered 1, 2, 3"):
        record(spec=SPEC.model_copy(update={"epochs": 2}), epochs=(row(), row()))


def test_a_record_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        record().status = "failed"
