import re
from typing import Any, get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from runners.core.frameworks import FRAMEWORKS
from runners.core.spec import DEVICES, LARGEST_SEED, TRACKS, VARIES, Adam, Contender, Device, RunSpec, Sgd, Track

distributed = st.sampled_from([(name, strategy) for name, entry in FRAMEWORKS.items() for strategy in entry.strategies])
bases = st.one_of(
    st.sampled_from(list(FRAMEWORKS)),
    st.builds(lambda both, replicas: f"{both[0]}:{both[1]}:{replicas}", distributed, st.integers(1, 9_999)),
)
contender_strings = bases | st.builds(lambda base, copy: f"{base}#{copy}", bases, st.integers(2, 99))
specs = st.builds(
    RunSpec,
    contender=contender_strings,
    track=st.sampled_from(TRACKS),
    seed=st.integers(0, LARGEST_SEED),
    epochs=st.integers(1, 1_000),
    batch_size=st.integers(1, 60_000),
    optimizer=st.builds(Adam, learning_rate=st.floats(1e-30, 1e30)),
    device=st.sampled_from(["cpu", "gpu"]),
    threads=st.integers(1, 256),
    deterministic=st.booleans(),
    checkpoint=st.booleans(),
    early_stopping=st.none() | st.integers(1, 100),
    reduce_lr=st.none() | st.integers(1, 100),
)


# Contenders


@given(contender_strings)
def test_a_contender_is_written_as_it_is_read(text):
    contender = Contender.model_validate(text)
    assert str(contender) == text
    assert contender.model_dump() == text
    assert Contender.model_validate(contender.model_dump(mode="json")) == contender
    assert Contender.model_validate_json(contender.model_dump_json()) == contender


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("torch", ("torch", "single", 1)),
        ("keras:mirrored", ("keras", "mirrored", 1)),
        ("torch:ddp:2", ("torch", "ddp", 2)),
    ],
)
def test_framework_strategy_and_replicas_are_read(text, parts):
    contender = Contender.model_validate(text)
    assert (contender.framework, contender.strategy, contender.replicas) == parts


def test_the_first_copy_has_no_number_and_the_others_share_its_base():
    first, second = Contender.model_validate("torch:ddp:2"), Contender.model_validate("torch:ddp:2#2")
    assert (first.copy_number, second.copy_number) == (1, 2)
    assert first.base == second.base == str(first) == "torch:ddp:2"
    assert first != second


@given(bases, st.text() | st.integers().map(str))
@example("torch", "1")
@example("torch", "02")
@example("torch", "100")
@example("torch", "2#2")
@example("torch:ddp:2", "2\n")
@example("torch", "1٢")
def test_a_copy_is_a_plain_number_from_2_to_99(base, number):
    if number in map(str, range(2, 100)):
        assert Contender.model_validate(f"{base}#{number}").copy_number == int(number)
        return
    with pytest.raises(ValidationError, match="does not end in # and the number of a copy, from 2 to 99"):
        Contender.model_validate(f"{base}#{number}")


@given(st.lists(st.sampled_from(["keras", "torch", "mirrored", "ddp", ":", "#", "1", "2", "99", " ", ""])).map("".join))
@example("torch:ddp#3")
@example("torch#2:ddp")
def test_whatever_is_taken_as_a_contender_is_taken_as_itself_again(text):
    try:
        contender = Contender.model_validate(text)
    except ValidationError:
        return
    assert Contender.model_validate(str(contender)) == contender
    assert contender == Contender.model_validate(f"{contender.base}{text[len(text.partition('#')[0]) :]}")


@pytest.mark.parametrize("text", ["jax", "", "Keras", "keras ", ":ddp:2", "../../x"])
def test_an_unknown_framework_is_refused_with_the_choices(text):
    with pytest.raises(ValidationError, match=r"unknown framework .*: choose from keras, torch"):
        Contender.model_validate(text)


@pytest.mark.parametrize(
    ("text", "choices"),
    [("keras:ddp:2", "mirrored, multiworker"), ("torch:mirrored", "ddp"), ("torch:single", "ddp"), ("torch:", "ddp")],
)
def test_an_unknown_strategy_is_refused_with_the_choices(text, choices):
    framework = text.partition(":")[0]
    with pytest.raises(ValidationError, match=f"unknown strategy .*: {framework} has {choices}"):
        Contender.model_validate(text)


@pytest.mark.parametrize("replicas", ["0", "-1", "1.5", "two", "", "10000", "02", " 2", "2:", "2:2", "٢", "2\n"])
def test_replicas_must_be_a_plain_number_from_1(replicas):
    with pytest.raises(ValidationError, match="replicas from 1 to 9999"):
        Contender.model_validate(f"torch:ddp:{replicas}")


@pytest.mark.parametrize(
    "parts",
    [
        {"framework": "jax"},
        {"framework": "../../x"},
        {"framework": "keras", "strategy": "ddp", "replicas": 2},
        {"framework": "keras", "strategy": "../../x"},
        {"framework": "torch", "strategy": "ddp", "replicas": 0},
        {"framework": "torch", "strategy": "ddp", "replicas": -3},
        {"framework": "torch", "replicas": 2},
        {"framework": "torch", "copy_number": 2},
    ],
    ids=str,
)
def test_what_no_string_says_cannot_be_said_in_parts_either(parts):
    """Records are read from JSON, and their names become the names of files."""
    with pytest.raises(ValidationError):
        Contender.model_validate(parts)


# Settings


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("track", "fair"),
        ("device", "tpu"),
        ("device", "auto"),  # settled before a run is described
        ("seed", -1),
        ("seed", 2**32),
        ("seed", 1.5),
        ("seed", 1.0),
        ("seed", True),
        ("seed", "1"),
        ("epochs", 0),
        ("epochs", -1),
        ("epochs", 1.5),
        ("batch_size", 0),
        ("batch_size", -128),
        ("batch_size", 60_001),
        ("limit_train", 0),
        ("limit_train", 60_001),
        ("epochs", 100_001),
        ("threads", 0),
        ("threads", 4097),
        ("early_stopping", 0),
        ("early_stopping", 100_001),
        ("reduce_lr", 0),
        ("reduce_lr", 100_001),
        ("repeat", -1),
        ("repeat", 100_000),
        ("optimizer", {"name": "adam", "learning_rate": 0}),
        ("optimizer", {"name": "adam", "learning_rate": 1.1e30}),
        ("optimizer", {"name": "sgd", "learning_rate": 1.1e30}),
        ("optimizer", {"name": "sgd", "learning_rate": 0.1, "momentum": 1}),
        ("optimizer", {"name": "adam", "epsilon": 1.1}),
        ("optimizer", {"name": "adam", "learning_rate": -1e-3}),
        ("optimizer", {"name": "adam", "learning_rate": "nan"}),
        ("optimizer", {"name": "adam", "learning_rate": "inf"}),
        ("optimizer", {"name": "adam", "beta_1": 1.0}),
        ("optimizer", {"name": "adam", "beta_2": 1.0}),
        ("optimizer", {"name": "adam", "beta_2": -0.1}),
        ("optimizer", {"name": "adam", "epsilon": -1e-7}),
        ("optimizer", {"momentum": 0.9}),
        ("epoch", 3),
    ],
    ids=str,
)
def test_a_bad_setting_is_refused_by_name(field, value):
    with pytest.raises(ValidationError) as refusal:
        RunSpec(contender="keras", **{field: value})
    assert field in str(refusal.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("epochs", 1), ("epochs", 100_000), ("threads", 1), ("threads", 4096), ("limit_train", 60_000)],
        *[("early_stopping", 1), ("early_stopping", 100_000), ("reduce_lr", 1), ("reduce_lr", 100_000)],
        *[("seed", 0), ("seed", LARGEST_SEED)],
        *[("batch_size", 1), ("batch_size", 60_000), ("repeat", 0), ("repeat", 99_999)],
        ("optimizer", Adam(learning_rate=1e30, beta_1=0, beta_2=0, epsilon=1)),
        ("optimizer", Sgd(learning_rate=0, momentum=0)),
    ],
    ids=str,
)
def test_both_ends_of_a_setting_are_taken(field, value):
    assert getattr(RunSpec(contender="keras", **{field: value}), field) == value


def test_a_batch_larger_than_the_data_is_refused_with_both_numbers():
    assert RunSpec(contender="keras", limit_train=128).batch_size == 128
    with pytest.raises(ValidationError, match="batch size 128 is larger than the 100 training images"):
        RunSpec(contender="keras", limit_train=100)


def test_the_defaults_are_the_article_s_recipe():
    spec = RunSpec(contender="keras")
    assert (spec.epochs, spec.batch_size, spec.limit_train) == (13, 128, 60_000)
    adam = {"name": "adam", "learning_rate": 1e-3, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}
    assert spec.optimizer.model_dump() == adam
    assert (spec.track, spec.seed, spec.device, spec.threads) == ("matched", 0, "cpu", 1)


def test_the_choices_shown_are_the_choices_taken():
    assert get_args(Track) == TRACKS
    assert VARIES == ("all", "init", "order", "nothing")
    assert tuple(device for device in DEVICES if device != "auto") == get_args(Device)


# Specs as records


@given(specs)
def test_a_spec_survives_json_unchanged(spec):
    assert RunSpec.model_validate_json(spec.model_dump_json()) == spec


@given(specs)
def test_equal_specs_have_equal_hashes(spec):
    twin = RunSpec.model_validate(spec.model_dump())
    assert twin is not spec
    assert {spec: "found"}[twin] == "found"


@given(specs, specs)
def test_specs_of_other_contenders_tracks_or_seeds_have_other_run_ids(one, other):
    def names(spec):
        return spec.contender, spec.track, spec.seed

    assert (names(one) == names(other)) == (one.run_id == other.run_id)


@given(specs)
def test_a_run_id_has_only_letters_digits_and_dashes(spec):
    assert re.fullmatch(r"[A-Za-z0-9-]+", spec.run_id)


def test_a_run_id_says_contender_track_and_seed():
    assert RunSpec(contender="torch:ddp:2", track="native", seed=7).run_id == "torch-ddp-2-native-seed7"


def test_a_run_id_says_which_copy():
    assert RunSpec(contender="torch#2").run_id == "torch-copy2-matched-seed0"
    assert RunSpec(contender="torch:ddp:2#13", seed=3).run_id == "torch-ddp-2-copy13-matched-seed3"


def test_a_spec_cannot_be_changed():
    spec: Any = RunSpec(contender="keras")
    with pytest.raises(ValidationError, match="frozen"):
        spec.epochs = 1
    with pytest.raises(ValidationError, match="frozen"):
        spec.optimizer.beta_1 = 0.5
    with pytest.raises(ValidationError, match="frozen"):
        spec.contender.replicas = 2


# Seeds and optimisers of a run


def test_weights_and_order_are_drawn_from_the_run_s_seed_unless_they_have_seeds_of_their_own():
    assert (RunSpec(contender="keras", seed=7).init_seed, RunSpec(contender="keras", seed=7).order_seed) == (7, 7)
    apart = RunSpec(contender="keras", seed=7, init_seed=0, order_seed=3)
    assert (apart.seed, apart.init_seed, apart.order_seed) == (7, 0, 3)


def test_a_record_written_before_the_seeds_were_apart_reads_as_it_was_meant():
    text = RunSpec(contender="keras", seed=7).model_dump_json(exclude={"init_seed", "order_seed", "repeat", "dtype"})
    assert RunSpec.model_validate_json(text) == RunSpec(contender="keras", seed=7)


def test_gradient_descent_with_momentum_survives_json_as_what_it_is():
    spec = RunSpec(contender="torch", optimizer=Sgd(learning_rate=0.5, momentum=0.875), dtype="float64")
    assert RunSpec.model_validate_json(spec.model_dump_json()) == spec
    assert isinstance(RunSpec.model_validate_json(spec.model_dump_json()).optimizer, Sgd)
