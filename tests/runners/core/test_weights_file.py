"""Files that pose as best weights: each is refused in one sentence, before it unpacks to more than it may."""

import io
import pickle
import resource
import warnings
import zipfile

import h5py
import numpy as np
import pytest

from runners.core.errors import BadInput
from runners.core.weights_file import LARGEST, refused_in_a_sentence

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


def reshaped(group):
    del group["0"]
    group["0"] = np.zeros((3, 3), np.float32)


def deflated(path):
    torch_file(lambda _: None)(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    path.write_bytes(zipped(zipfile.ZIP_DEFLATED, **members))


def bomb(path):
    """A mebibyte on disk, a gibibyte in memory."""
    path.write_bytes(zipped(zipfile.ZIP_DEFLATED, **{"best_model/data.pkl": bytes(2**30)}))


def hdf5_bomb(group):
    del group["0"]
    group.create_dataset("0", (2**14, 2**14), "f4", chunks=(2**10, 2**10), compression="gzip", fillvalue=1)


def with_gzip(group):
    kernel = group.pop("0")[:]
    group.create_dataset("0", data=kernel, compression="gzip")


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
    },
    "keras": {
        "HTML": (lambda path: path.write_bytes(HTML), PLAIN),
        "a .keras file": (lambda path: path.write_bytes(zipped(config=b'{"class_name": "Lambda"}')), PLAIN),
        "another shape": (keras_file(reshaped), PLAIN),
        "fewer layers": (keras_file(lambda group: group.file.pop("layers/conv2d")), PLAIN),
        "a bomb": (keras_file(hdf5_bomb), "its numbers are compressed or elsewhere, and may not be"),
        "compressed": (keras_file(with_gzip), "its numbers are compressed or elsewhere, and may not be"),
        "NaN": (keras_file(lambda group: set_to_nan(group["1"])), "some of them are not finite numbers"),
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
