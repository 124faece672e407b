"""Files that pose as best weights: each is refused in one sentence, before it unpacks to more than it may."""

import io
import pickle
import resource
import warnings
import zipfile

import h5py  # type: ignore[import-untyped]
import numpy as np
import pytest

from runners.core.errors import BadInput
from runners.core.weights_file import LARGEST, refused_in_a_sentence
from tests.helpers.trap import Trap

ONE_IMAGE = np.zeros((1, 28, 28, 1), np.float32)
HTML = b"<!doctype html><title>404</title>" * 99
LARGEST_GROWTH_KIB = 200 * 2**10
PLAIN = "only what a run with --checkpoint leaves is read"


def zipped(compression=zipfile.ZIP_STORED, **members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return file.getvalue()


def torch_file(change):
    """The network's state with one thing changed, as torch.save writes it."""

    def write(path):
        import torch

        from lenet.torch_model import LeNet5

        state = LeNet5().state_dict()
        change(state)
        torch.save(state, path)

    return write


def keras_file(change):
    """The network's weights with one thing changed, as Keras writes them."""

    def write(path):
        from lenet.keras_model import build_model

        build_model().save_weights(path)
        with h5py.File(path, "a") as file:
            change(file["layers/dense/vars"])

    return write


def set_to_nan(biases):
    biases[1] = float("nan")


def replaced(kernel):
    def change(group):
        del group["0"]
        group["0"] = kernel

    return change


def deflated(path):
    torch_file(lambda _: None)(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    path.write_bytes(zipped(zipfile.ZIP_DEFLATED, **members))


def bomb(path):
    """A quarter of a mebibyte on disk, a quarter of a gibibyte in memory."""
    path.write_bytes(zipped(zipfile.ZIP_DEFLATED, **{"best_model/data.pkl": bytes(2**28)}))


def hdf5_bomb(group):
    del group["0"]
    group.create_dataset("0", (2**14, 2**14), "f4", chunks=(2**10, 2**10), compression="gzip", fillvalue=1)


def with_gzip(group):
    kernel = group.pop("0")[:]
    group.create_dataset("0", data=kernel, compression="gzip")


NOTHING = {
    "missing": (lambda path: None, PLAIN),
    "a folder": (lambda path: path.mkdir(), PLAIN),
    "empty": (lambda path: path.write_bytes(b""), PLAIN),
}
POSING = {
    "torch": {
        "HTML": (lambda path: path.write_bytes(HTML), PLAIN),
        "a pickle": (lambda path: path.write_bytes(pickle.dumps({"conv1.weight": 1})), PLAIN),
        "a zip of HTML": (lambda path: path.write_bytes(zipped(index=HTML)), PLAIN),
        "an object": (torch_file(lambda state: state.update(more=np.array([object()]))), PLAIN),
        "another shape": (torch_file(lambda state: state.update({"logits.bias": state["conv1.bias"]})), PLAIN),
        "fewer layers": (torch_file(lambda state: state.clear()), PLAIN),
        "compressed": (deflated, "it is compressed, and may not be"),
        "a bomb": (bomb, "it is compressed, and may not be"),
        "NaN": (torch_file(lambda state: set_to_nan(state["logits.bias"])), "some of them are not finite numbers"),
        "the start of a zip": (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(100)), PLAIN),
        "the start of a pickle": (lambda path: path.write_bytes(b"\x80\x02}q\x00("), PLAIN),
        "a pickle that ends too early": (lambda path: path.write_bytes(b"\x80\x02."), PLAIN),
        "numbers for names": (torch_file(lambda state: (state.clear(), state.update({1: 2}))), PLAIN),
        "HDF5": (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(1_000)), PLAIN),
        **NOTHING,
    },
    "keras": {
        "HTML": (lambda path: path.write_bytes(HTML), PLAIN),
        "a .keras file": (lambda path: path.write_bytes(zipped(config=b'{"class_name": "Lambda"}')), PLAIN),
        "another shape": (keras_file(replaced(np.zeros((3, 3), np.float32))), PLAIN),
        "fewer layers": (keras_file(lambda group: group.file.pop("layers/conv2d")), PLAIN),
        "a bomb": (keras_file(hdf5_bomb), "its numbers are compressed or elsewhere, and may not be"),
        "compressed": (keras_file(with_gzip), "its numbers are compressed or elsewhere, and may not be"),
        "NaN": (keras_file(lambda group: set_to_nan(group["1"])), "some of them are not finite numbers"),
        "text for weights": (keras_file(replaced(np.full((120, 84), b"abc"))), PLAIN),
        "a link to another file": (
            keras_file(replaced(h5py.ExternalLink("elsewhere.h5", "/secret"))),
            "it holds links, and may not",
        ),
        "the start of HDF5": (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(1_000)), PLAIN),
        "a pickle": (lambda path: path.write_bytes(pickle.dumps({"conv1": 1})), PLAIN),
        **NOTHING,
    },
}
CASES = [
    pytest.param(framework, *case, id=f"{framework}-{name}")
    for framework in POSING
    for name, case in POSING[framework].items()
]
FILES = {"torch": ("best_model.pt", "PyTorch"), "keras": ("best_model.weights.h5", "Keras")}


@pytest.mark.parametrize(("framework", "write", "why"), CASES)
def test_what_poses_as_weights_is_refused_in_our_words_alone(request, tmp_path, framework, write, why, capfd):
    inspector = request.getfixturevalue(f"{framework}_inspector")
    name, label = FILES[framework]
    write(tmp_path / name)
    capfd.readouterr()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with warnings.catch_warnings(record=True, action="always") as warned, pytest.raises(BadInput) as refusal:
        inspector.predict(tmp_path / name, ONE_IMAGE)
    assert str(refusal.value) == f"{tmp_path / name} does not hold this network's {label} weights: {why}"
    assert (warned, *capfd.readouterr()) == ([], "", "")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < LARGEST_GROWTH_KIB


def assert_refused(inspector, path):
    with pytest.raises(BadInput, match="does not hold this network's") as refusal:
        inspector.predict(path, ONE_IMAGE)
    assert str(path) in str(refusal.value)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning")
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_posing_as_pytorch_weights_is_refused_and_not_executed(torch_inspector, tmp_path, protocol):
    path = tmp_path / "best_model.pt"
    path.write_bytes(pickle.dumps({"conv1.weight": Trap(tmp_path / "sprung")}, protocol))
    assert_refused(torch_inspector, path)
    assert not (tmp_path / "sprung").exists()


def test_a_pickle_inside_a_pytorch_file_is_refused_and_not_executed(torch_inspector, tmp_path):
    import torch

    path = tmp_path / "best_model.pt"
    torch.save({"conv1.weight": Trap(tmp_path / "sprung")}, path)
    assert_refused(torch_inspector, path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_a_layer_with_code_of_its_own_is_refused_and_not_executed(keras_inspector, tmp_path, ending):
    import keras

    trap = tmp_path / "sprung"
    # Keras keeps the code of a lambda, and no names from around it.
    spring = keras.layers.Lambda(eval(f"lambda x: (__import__('pathlib').Path({str(trap)!r}).touch(), x)[1]"))
    posing = keras.Sequential([keras.Input((28, 28, 1)), spring, keras.layers.Flatten(), keras.layers.Dense(10)])
    posing.save(tmp_path / f"x.{ending}")
    trap.unlink()  # building it has called it
    assert_refused(keras_inspector, (tmp_path / f"x.{ending}").rename(tmp_path / "best_model.weights.h5"))
    assert not trap.exists()
    keras.saving.load_model((tmp_path / "best_model.weights.h5").rename(tmp_path / f"x.{ending}"), safe_mode=False)
    assert trap.exists(), "whoever loads it as a model runs its code"


def test_the_trap_does_spring_when_unpickled(tmp_path):
    pickle.loads(pickle.dumps(Trap(tmp_path / "sprung")))
    assert (tmp_path / "sprung").exists()


@pytest.mark.parametrize("framework", FILES)
def test_unchanged_weights_are_read(request, tmp_path, framework):
    inspector = request.getfixturevalue(f"{framework}_inspector")
    path = tmp_path / FILES[framework][0]
    {"torch": torch_file, "keras": keras_file}[framework](lambda _: None)(path)
    assert inspector.predict(path, ONE_IMAGE).sum() == pytest.approx(1)


def test_a_large_file_is_not_even_opened(tmp_path):
    path = tmp_path / "best_model.pt"
    with path.open("wb") as file:
        file.truncate(LARGEST + 1)
    with (
        pytest.raises(BadInput, match=r"it takes 16\.0 MiB, and at most 16 are read"),
        refused_in_a_sentence(path, "x"),
    ):
        pytest.fail("opened")


def test_a_zip_whose_members_share_their_bytes_counts_them_all(tmp_path, torch_inspector):
    from runners.torch.weights import check_file

    with zipfile.ZipFile(tmp_path / "x", "w") as archive:
        archive.writestr("data", bytes(2**20))
        archive.filelist *= 20
    assert (tmp_path / "x").stat().st_size < 2**21
    with pytest.raises(BadInput, match=r"it takes 20\.0 MiB"):
        check_file(tmp_path / "x")


def virtual(file):
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("elsewhere.h5", "x", (4,))
    file.create_virtual_dataset("x", layout)


HDF5 = {
    "compressed": (lambda file: file.create_dataset("x", (2**20,), compression="gzip"), "compressed or elsewhere"),
    "virtual": (virtual, "compressed or elsewhere"),
    "external": (lambda file: file.create_dataset("x", (4,), external="/etc/passwd"), "compressed or elsewhere"),
    "external link": (lambda file: file.update({"x": h5py.ExternalLink("elsewhere.h5", "/x")}), "it holds links"),
    "soft link, deep down": (lambda file: file.create_group("a/b").update({"x": h5py.SoftLink("/")}), "it holds links"),
    "never written": (lambda file: file.create_dataset("a/x", (2**20, 2**20), "f8"), "it takes 8,388,608.0 MiB"),
    "large in sum": (lambda file: [file.create_dataset(f"a/{i}", (2**20,)) for i in range(5)], "it takes 20.0 MiB"),
}


@pytest.mark.parametrize(("write", "why"), HDF5.values(), ids=HDF5)
def test_hdf5_that_unpacks_or_leads_elsewhere_is_refused(tmp_path, keras_inspector, write, why):
    from runners.keras.weights import check_file

    with h5py.File(tmp_path / "x", "w") as file:
        write(file)
    assert (tmp_path / "x").stat().st_size < 2**16
    with pytest.raises(BadInput, match=why):
        check_file(tmp_path / "x")


def test_hdf5_whose_groups_hold_each_other_comes_to_an_end(tmp_path, keras_inspector):
    from runners.keras.weights import check_file

    with h5py.File(tmp_path / "x", "w") as file:
        file["a/b"] = file["/"]
        file["a/x"] = np.zeros(4)
    check_file(tmp_path / "x")
