"""Bad input: one clear sentence, exit 2, before anything starts."""

import os
from pathlib import Path

import pytest

from runners.core import store
from runners.core.errors import BadInput, ClusterLost
from scripts import options
from scripts.start import INTERRUPTION
from tests.helpers.processes import run_here, run_script
from tests.runners.report.conftest import make_stub_study


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("5", (0, 1, 2, 3, 4)),
        ("1", (0,)),
        ("0,3,7", (0, 3, 7)),
        ("0-9", tuple(range(10))),
        ("7-7", (7,)),
        ("0-2,9", (0, 1, 2, 9)),
        ("4294967295-4294967295", (2**32 - 1,)),
    ],
)
def test_seeds_are_a_count_a_list_or_a_range(text: str, seeds: tuple[int, ...]) -> None:
    assert options.seeds(text) == seeds


@pytest.mark.parametrize(
    "text",
    [
        "-1",
        "1.5",
        "4294967296",
        "0,4294967296",
        "0",
        "",
        "a",
        "3-1",
        "0,-1",
        "1,,2",
        "²",
        "9" * 400,
        "9" * 5_000,
        "0-" + "9" * 5_000,
    ],
)
def test_other_seeds_are_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(BadInput, match=r"--seeds .*(is not a count|takes at most)"):
        options.seeds(text)


@pytest.mark.parametrize(
    ("named", "contenders"),
    [
        ("keras torch", "keras torch"),
        ("torch torch torch", "torch torch#2 torch#3"),
        ("torch keras torch keras", "torch keras torch#2 keras#2"),
        ("torch#2 torch", "torch#2 torch"),
        ("torch#5", "torch#5"),
    ],
)
def test_a_contender_named_again_is_a_numbered_copy(named: str, contenders: str) -> None:
    assert " ".join(map(str, options.contenders(named.split()))) == contenders


BAD_COMMANDS = [
    (("jax",), "unknown framework 'jax' in 'jax': choose from keras, torch"),
    (("keras#2", "keras#2"), "contender keras#2 is named twice"),
    (("keras", "keras#2", "keras"), "contender keras#2 is named twice"),
    (("torch#1",), "'torch#1' does not end in # and the number of a copy, from 2 to 99"),
    (("torch",) * 100, "'torch#100' does not end in # and the number of a copy, from 2 to 99"),
    (("--vary", "weights"), "unknown --vary 'weights': choose from all, init, order, nothing"),
    (("--vary", "init", "--track", "native"), "--vary init goes with --track matched alone, not native: elsewhere"),
    (("--scaling", "huge"), "unknown --scaling 'huge': choose from strong, weak"),
    (("--scaling", "weak", "--lr-rule", "cubic"), "unknown --lr-rule 'cubic': choose from none, linear, sqrt"),
    (("--lr-rule", "linear"), "--lr-rule linear goes with --scaling weak: in strong scaling every contender has"),
    (("torch:ddp:2", "--scaling", "weak", "--limit-train", "200"), "of 2 times 128 images, more than the 200 training"),
    (("torch:fast",), "unknown strategy 'fast' in 'torch:fast': torch has ddp"),
    (
        ("torch:ddp:3", "--track", "native"),
        "torch:ddp:3 in native needs a batch size that its 3 replicas divide, not 128",
    ),
    (("torch:ddp:0",), "replicas from 1 to 9999"),
    (("--track", "fair"), "unknown track 'fair': choose from matched, native"),
    (("--device", "tpu"), "unknown device 'tpu': choose from auto, cpu, gpu"),
    (("--seeds", "-1"), "--seeds '-1' is not a count"),
    (("--seeds", "3,3"), "seed 3 is named twice"),
    (("--epochs", "0"), "--epochs: Input should be greater than or equal to 1, not 0"),
    (("--batch-size", "60001"), "batch size 60001 is larger than the 60000 training images"),
    (("--limit-train", "100"), "batch size 128 is larger than the 100 training images"),
    (("--threads", "0"), "--threads: Input should be greater than or equal to 1, not 0"),
    (("--target-accuracy", "90"), "--target-accuracy: Input should be less than or equal to 1, not 90.0"),
    (("--address", "127.0.0.1:1"), "no Ray cluster answers at"),
    (("--epochs", "1.5"), "Invalid value for '--epochs': Input should be a valid integer, unable to parse"),
    (("--wait-for-nodes", "-1"), "'--wait-for-nodes': Input should be greater than or equal to 0; --help"),
    (("--wait-for-nodes", "inf"), "'--wait-for-nodes': Input should be less than or equal to 604800; --help"),
    (("--wait-for-nodes", "nan"), "Invalid value for '--wait-for-nodes': Input should be"),
    (("--learning-rate", "nan"), "--learning-rate: Input should be"),
    (("--target-accuracy", "0"), "--target-accuracy: Input should be greater than 0, not 0.0"),
    (("--seeds", "100001"), "--seeds '100001' asks for more than 100000 seeds"),
    (("../../x",), "unknown framework '../../x'"),
    (("--epochs", "9" * 5_000), "Invalid value for '--epochs': Unable to parse"),
    (("--threads", "4097"), "--threads: Input should be less than or equal to 4096, not 4097"),
    (("--epoch", "1"), "No such option: --epoch"),
    (("--seeds",), "Option '--seeds' requires an argument; --help says what is allowed"),
]
BAD_TRAINING = [
    ((), "Missing argument 'contender'; --help says what is allowed"),
    (("jax",), "unknown framework 'jax' in 'jax': choose from keras, torch"),
    (("torch:fast",), "unknown strategy 'fast' in 'torch:fast': torch has ddp"),
    (("keras", "--track", "fair"), "unknown track 'fair': choose from matched, native"),
    (("keras", "--seed", "-1"), "--seed: Input should be greater than or equal to 0, not -1"),
    (("keras", "--seed", "1.5"), "Invalid value for '--seed': Input should be a valid integer, unable to parse"),
    (("keras", "--seed", "4294967296"), "--seed: Input should be less than or equal to 4294967295, not 4294967296"),
    (("keras", "--batch-size", "0"), "--batch-size: Input should be greater than or equal to 1, not 0"),
    (("keras", "--track", "matched,native"), "--track 'matched,native' names 2 tracks; at most 1 goes here"),
    (("keras", "--device", "auto"), "unknown device 'auto': choose from cpu, gpu"),
]
BAD_AUDITS = [
    (("keras",), "keras alone cannot be compared: name two contenders or more"),
    (("--threads", "64"), "each process needs 64 CPU(s)"),
    (("jax", "torch"), "unknown framework 'jax' in 'jax': choose from keras, torch"),
    (("torch:fast", "keras"), "unknown strategy 'fast' in 'torch:fast': torch has ddp"),
    (("--device", "tpu"), "unknown device 'tpu': choose from auto, cpu, gpu"),
    (("--threads", "0"), "--threads: Input should be greater than or equal to 1, not 0"),
    (("--threads", "4097"), "--threads: Input should be less than or equal to 4096, not 4097"),
    (("--batch-size", "0"), "--batch-size: Input should be greater than or equal to 1, not 0"),
    (("--batch-size", "60001"), "batch size 60001 is larger than the 60000 training images"),
]
BAD_VARIANCES = [
    (("--run", "jax"), "unknown framework 'jax' in 'jax': choose from keras, torch"),
    (("--run", "torch", "--device", "tpu"), "unknown device 'tpu': choose from auto, cpu, gpu"),
    (("--run", "torch", "--seeds", "1,1"), "seed 1 is named twice"),
    (("--run", "torch", "--epochs", "0"), "--epochs: Input should be greater than or equal to 1, not 0"),
    (("--run", "torch", "--threads", "4097"), "--threads: Input should be less than or equal to 4096, not 4097"),
    (("x", "--until-half-width", "0"), "--until-half-width must be "),
    (("x", "--until-half-width", "nan"), "--until-half-width must be "),
    (("x", "--until-half-width", "1e-300"), "--until-half-width must be "),
]
ALL_BAD = [
    *(("compare", *bad) for bad in BAD_COMMANDS),
    *(("train", *bad) for bad in BAD_TRAINING),
    *(("audit", *bad) for bad in BAD_AUDITS),
    *(("seed_variance", *bad) for bad in BAD_VARIANCES),
]


@pytest.mark.parametrize(("script", "arguments", "sentence"), ALL_BAD)
def test_bad_input_exits_2_with_one_sentence(
    script: str, arguments: tuple[str, ...], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray.init", lambda *_, **__: pytest.fail("Ray was started"))
    refused(sentence, script, "--out", tmp_path / "out", *arguments)
    assert not (tmp_path / "out" / "study.json").exists()
    assert not (tmp_path / "out" / "runs").exists()


def refused(sentence: str, script: str, *arguments: object) -> None:
    """Assert that the script exits with 2 and says nothing but an error, of one line, with the sentence in it."""
    done = run_here(script, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("top", ["0", "11", "1.5"])
def test_predict_shows_from_one_class_to_all(top: str) -> None:
    refused("Invalid value for '--top': Input should be ", "predict", "x.png", "--top", top)


def test_an_interruption_outside_the_command_s_own_care_is_one_sentence_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sys.argv", ["interrupted.py"])
    with pytest.raises(SystemExit) as left:
        options.run_app(interrupted)
    assert (left.value.code, capsys.readouterr().err) == (130, f"error: {INTERRUPTION}\n")


def test_a_lost_cluster_is_one_sentence_and_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="1"), options.exit_codes():
        raise ClusterLost("no node has room")
    assert capsys.readouterr() == ("", "error: no node has room\n")


def test_a_home_folder_that_is_not_known_is_no_folder_named_by_a_tilde(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # what it does where none is known
    for word in ("~", "~/x", "--out=~", "--out=~/x"):
        with pytest.raises(BadInput, match="names a home folder, but this user's is unknown; set HOME"):
            options._with_home(word)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused("cannot be written", "compare", "--out", tmp_path / "file" / "out")


@pytest.mark.parametrize("contender", [pytest.param("keras", marks=pytest.mark.thorough), "torch"])
def test_a_run_by_hand_on_a_gpu_that_is_not_there_is_refused(contender: str, tmp_path: Path) -> None:
    done = run_script("train", contender, "--device", "gpu", "--out", tmp_path, CUDA_VISIBLE_DEVICES="")
    assert (done.returncode, done.stdout) == (2, "")
    assert "sees no GPU; it needs a build with CUDA and one GPU assigned" in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_a_run_by_hand_leaves_a_study_s_records_alone(tmp_path: Path) -> None:
    (tmp_path / store.STUDY).write_text("{}")
    sentence = f"{tmp_path} holds a study, whose records a run by hand would replace; use another --out"
    refused(sentence, "train", "torch", "--out", tmp_path)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("contender", ["torch:ddp:2", "keras:multiworker:2"])
def test_one_run_by_hand_is_one_process(contender: str, tmp_path: Path) -> None:
    sentence = f"{contender} has several processes, which Ray places; `scripts/compare.py {contender}"
    refused(sentence, "train", contender, "--out", tmp_path)


def test_what_writes_into_a_folder_that_another_process_holds_is_refused(tmp_path: Path) -> None:
    make_stub_study(tmp_path, seeds=range(2))
    (tmp_path / "of the run").mkdir()
    before = {path for path in tmp_path.rglob("*") if not path.name.startswith(".")}
    in_use = f" is in use by process {os.getpid()} on "
    with store.lock(tmp_path), store.lock(tmp_path / "of the run"):
        refused(in_use, "report", tmp_path)
        refused(in_use, "seed_variance", tmp_path)
        refused(in_use, "audit", "--quick", "--out", tmp_path)
        refused(in_use, "train", "torch", "--out", tmp_path / "of the run")
        assert {path for path in tmp_path.rglob("*") if not path.name.startswith(".")} == before


@pytest.mark.parametrize("script", ["compare", "report", "train", "predict", "audit", "seed_variance"])
def test_every_script_has_help(script: str) -> None:
    done = run_here(script, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage:" in done.stdout


@pytest.mark.parametrize("script", ["report", "predict", "seed_variance"])
def test_a_folder_without_a_study_is_refused(script: str, tmp_path: Path) -> None:
    refused("", script, *([tmp_path / "x.png", "--from"] if script == "predict" else []), tmp_path)


@pytest.mark.parametrize("arguments", [(), ("results", "--run", "torch")])
def test_seed_variance_takes_either_folders_or_what_to_run(arguments: tuple[str, ...]) -> None:
    sentence = "name either the folders of existing studies, or with --run the contenders of new ones"
    refused(sentence, "seed_variance", *arguments)


def test_a_precision_for_several_studies_is_refused_before_any_is_done(tmp_path: Path) -> None:
    asked = ("--run", "torch", "--until-half-width", 0.01)
    refused("--until-half-width takes one folder, not --run", "seed_variance", *asked, "--out", tmp_path)
    assert not list(tmp_path.iterdir())
