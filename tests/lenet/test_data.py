"""Small files in the published format stand in for the 30 MB of the real ones, which only the last tests load."""

import gzip
import hashlib
import os
import re
import struct
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from lenet import data
from lenet.data import SHA256, DataError, read_folder, scale

TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = SHA256


def idx(array, magic=b"\0\0\x08"):
    return magic + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def small_files(train=6, test=4, side=28):
    """The four files' decompressed bytes."""
    random = np.random.default_rng(0)
    return {
        TRAIN_IMAGES: idx(random.integers(0, 256, (train, side, side), np.uint8)),
        TRAIN_LABELS: idx(random.integers(0, 10, train, np.uint8)),
        TEST_IMAGES: idx(random.integers(0, 256, (test, side, side), np.uint8)),
        TEST_LABELS: idx(random.integers(0, 10, test, np.uint8)),
    }


def hashes(files):
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def write(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(content, 1))
    return folder


def damaged(gz):
    """With no valid block type after gzip's header of ten bytes."""
    return gz[:10] + b"\xff" + gz[11:]


@pytest.fixture
def files():
    return small_files()


@pytest.fixture
def published(files, monkeypatch):
    """As if `files` were the published ones."""
    for name, digest in hashes(files).items():
        monkeypatch.setitem(SHA256, name, digest)
    return files


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """A machine that has the data in no place and reaches none that has."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("PATH", str(tmp_path / "no tools"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(data, "DEBIAN_FOLDER", tmp_path / "debian")
    monkeypatch.setattr(data, "MIRRORS", ("http://127.0.0.1:9",))  # the discard port: nobody listens
    return tmp_path


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def serve(monkeypatch, nowhere):
    """Make a handler class, or a folder, the one mirror; returns its address."""
    servers = []

    def start(handler):
        if isinstance(handler, Path):
            handler = partial(QuietHandler, directory=str(handler))
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(data, "MIRRORS", (address,))
        return address

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


# One folder


def test_files_as_published_are_read(tmp_path, files):
    read = read_folder(write(tmp_path, files), hashes(files))
    assert read.train_images.shape == (6, 28, 28)
    assert read.test_labels.shape == (4,)
    assert idx(read.train_images) == files[TRAIN_IMAGES]
    assert idx(read.train_labels) == files[TRAIN_LABELS]
    assert idx(read.test_images) == files[TEST_IMAGES]
    assert idx(read.test_labels) == files[TEST_LABELS]


def test_files_may_be_unpacked(tmp_path, files):
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    assert len(read_folder(tmp_path, hashes(files)).train_images) == 6


def test_another_compression_of_the_same_bytes_is_the_same_data(tmp_path, files):
    one = read_folder(write(tmp_path, files), hashes(files)).sha256
    for name, content in files.items():
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content, 9, mtime=1))
    assert read_folder(tmp_path, hashes(files)).sha256 == one


def test_other_data_has_another_sha256(tmp_path, files):
    others = small_files(train=7)
    one = read_folder(write(tmp_path / "one", files), hashes(files))
    other = read_folder(write(tmp_path / "other", others), hashes(others))
    assert one.sha256 != other.sha256


def put(content):
    return lambda path: path.write_bytes(content)


def put_a_folder(path):
    path.unlink()
    path.mkdir()


DAMAGED = {
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:-10]), " is truncated"),
    "damaged in the middle": (lambda path: path.write_bytes(damaged(path.read_bytes())), ""),
    "empty": (put(b""), ""),
    "not gzip": (put(b"<html>404 Not Found</html>"), " is .*not gzip"),
    "a folder": (put_a_folder, " cannot be read"),
}


@pytest.mark.parametrize("name", SHA256)
@pytest.mark.parametrize(("damage", "reason"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_refused_by_name(tmp_path, files, name, damage, reason):
    path = write(tmp_path, files) / f"{name}.gz"
    damage(path)
    with pytest.raises(DataError, match=re.escape(str(path)) + reason):
        read_folder(tmp_path, hashes(files))


@pytest.mark.parametrize("name", SHA256)
def test_one_changed_byte_is_refused_and_both_hashes_are_shown(tmp_path, files, name):
    expected = hashes(files)
    changed = bytearray(files[name])
    changed[-1] = (changed[-1] + 1) % 10
    write(tmp_path, {**files, name: bytes(changed)})
    with pytest.raises(DataError) as refusal:
        read_folder(tmp_path, expected)
    assert str(tmp_path / f"{name}.gz") in str(refusal.value)
    assert hashlib.sha256(changed).hexdigest() in str(refusal.value)
    assert expected[name] in str(refusal.value)


LONGER = small_files(train=8, test=8)
UNSUITABLE = {
    "images that are not 28 by 28": (small_files(side=32), r"images of shape \(32, 32\); 28x28 is needed"),
    "a label over 9": ({TEST_LABELS: idx(np.array([0, 9, 10, 3], np.uint8))}, "holds label 10; labels are 0 to 9"),
    "more training labels": ({TRAIN_LABELS: LONGER[TRAIN_LABELS]}, "has 6 images but 8 labels"),
    "more test labels": ({TEST_LABELS: LONGER[TEST_LABELS]}, "has 4 images but 8 labels"),
}


@pytest.mark.parametrize(("changed", "reason"), UNSUITABLE.values(), ids=UNSUITABLE)
def test_unsuitable_data_are_refused_whatever_the_hash_list_says(tmp_path, files, changed, reason):
    others = files | changed
    with pytest.raises(DataError, match=reason):
        read_folder(write(tmp_path, others), hashes(others))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0\x08\x03",
        idx(np.zeros((6, 28, 28), np.uint8), magic=b"\0\0\x09"),
        idx(np.zeros((6, 784), np.uint8)),
        b"\x89PNG" + bytes(1_000),
    ],
    ids=["nothing", "header cut", "another type", "two dimensions", "another format"],
)
def test_a_file_that_is_not_idx_is_refused(tmp_path, files, content):
    files[TRAIN_IMAGES] = content
    with pytest.raises(DataError, match=f"{TRAIN_IMAGES}.gz is not an IDX file"):
        read_folder(write(tmp_path, files), hashes(files))


@pytest.mark.parametrize(
    "change", [lambda content: content[:-1], lambda content: content + b"\0"], ids=["less", "more"]
)
def test_a_file_that_announces_another_size_is_refused(tmp_path, files, change):
    files[TRAIN_IMAGES] = change(files[TRAIN_IMAGES])
    with pytest.raises(DataError, match=r"announces shape \(6, 28, 28\) but holds"):
        read_folder(write(tmp_path, files), hashes(files))


@pytest.mark.parametrize("name", SHA256)
def test_a_missing_file_is_named_with_the_four_that_are_needed(tmp_path, files, name):
    (write(tmp_path, files) / f"{name}.gz").unlink()
    with pytest.raises(DataError) as refusal:
        read_folder(tmp_path, hashes(files))
    assert f"{tmp_path} holds no {name}.gz" in str(refusal.value)
    assert all(f"{needed}.gz" in str(refusal.value) for needed in SHA256)
    with pytest.raises(DataError, match="holds no"):
        data.load(tmp_path / "missing")


# The places


def place_folders(root):
    return [root / "keras" / "datasets" / "fashion-mnist", root / "debian", root / "cache/level-field/fashion-mnist"]


def test_data_dir_wins_over_every_place(nowhere, published, monkeypatch):
    for folder in place_folders(nowhere):
        write(folder, published)
    monkeypatch.setattr(data, "_places", lambda: pytest.fail("looked elsewhere"))
    assert len(data.load(write(nowhere / "mine", published)).train_images) == 6


def test_a_bad_data_dir_is_an_error_even_where_a_place_has_the_data(nowhere, published):
    write(place_folders(nowhere)[0], published)
    with pytest.raises(DataError, match="mine holds no"):
        data.load(nowhere / "mine")


def test_folders_are_asked_before_anything_is_fetched(nowhere, monkeypatch):
    monkeypatch.setattr(data, "MIRRORS", ("http://one.invalid", "http://two.invalid"))
    assert [place for place, _ in data._places()] == [
        *map(str, place_folders(nowhere)),
        "http://one.invalid",
        "http://two.invalid",
        "Debian package dataset-fashion-mnist",
    ]


@pytest.mark.parametrize("first", [0, 1, 2])
def test_the_first_folder_that_has_the_data_is_read(nowhere, published, monkeypatch, first):
    folders = place_folders(nowhere)
    for folder in folders[first:]:
        write(folder, published)
    read_whole, read = data.read_folder, []

    def note(folder):
        whole = read_whole(folder)
        read.append(folder)
        return whole

    monkeypatch.setattr(data, "read_folder", note)
    data.load()
    assert read == [folders[first]]


def test_a_damaged_place_is_passed_over(nowhere, published):
    bad, _, good = place_folders(nowhere)
    write(bad, published)
    (bad / f"{TEST_IMAGES}.gz").write_bytes(b"damaged")
    write(good, published)
    assert len(data.load().test_images) == 4


def test_the_cache_and_keras_s_folder_are_under_the_home_folder_by_default(nowhere, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("KERAS_HOME")
    assert data.cache_folder() == nowhere / "home" / ".cache" / "level-field" / "fashion-mnist"
    assert data._places()[0][0] == str(nowhere / "home" / ".keras" / "datasets" / "fashion-mnist")


@pytest.fixture
def homeless(nowhere, monkeypatch):
    """A user without HOME, whom the machine does not list."""
    for variable in ("HOME", "XDG_CACHE_HOME", "KERAS_HOME"):
        monkeypatch.delenv(variable)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    return nowhere


def test_without_a_home_the_places_below_it_are_told_as_not_available(homeless):
    with pytest.raises(DataError) as refusal:
        data.load()
    told = "a folder below the home folder: no home folder is known; set HOME, XDG_CACHE_HOME or KERAS_HOME"
    assert str(refusal.value).count(told) == 2


@pytest.mark.parametrize("first", [0, 1, 2])
def test_without_a_home_every_place_that_needs_none_is_read(homeless, published, monkeypatch, first):
    write(place_folders(homeless)[first], published)
    variables = [{"KERAS_HOME": homeless / "keras"}, {}, {"XDG_CACHE_HOME": homeless / "cache"}][first]
    for name, folder in variables.items():
        monkeypatch.setenv(name, str(folder))
    assert len(data.load().train_images) == 6


def test_where_nothing_works_all_that_was_tried_is_listed_with_why(nowhere):
    with pytest.raises(DataError) as refusal:
        data.load()
    first, *tried, last = str(refusal.value).splitlines()
    assert "not found" in first
    for line, (place, _) in zip(tried, data._places(), strict=True):
        assert line.startswith(f"  {place}: ")
    assert [line for line in tried if "holds no train-images-idx3-ubyte.gz" in line] == tried[:3]
    assert "refused" in tried[3]
    assert "apt-get is not installed here" in tried[4]
    assert "--data-dir" in last


# Fetching


def test_a_mirror_s_files_are_verified_and_cached(serve, nowhere, published, monkeypatch):
    serve(write(nowhere / "mirror", published))
    assert len(data.load().train_images) == 6
    assert sorted(path.name for path in data.cache_folder().iterdir()) == sorted(f"{name}.gz" for name in SHA256)
    assert list(data.cache_folder().parent.iterdir()) == [data.cache_folder()]
    monkeypatch.setattr(data, "_download", lambda *arguments: pytest.fail("downloaded again"))
    assert len(data.load().train_images) == 6


def test_the_second_mirror_is_asked_when_the_first_fails(serve, nowhere, published, monkeypatch):
    good = serve(write(nowhere / "mirror", published))
    monkeypatch.setattr(data, "MIRRORS", ("http://127.0.0.1:9", good))
    assert len(data.load().train_images) == 6


def test_a_damaged_cache_is_replaced(serve, nowhere, published):
    serve(write(nowhere / "mirror", published))
    write(data.cache_folder(), published)
    (data.cache_folder() / f"{TRAIN_IMAGES}.gz").write_bytes(b"damaged")
    (data.cache_folder() / "notes.txt").write_text("somebody's")
    data.load()
    assert len(read_folder(data.cache_folder()).train_images) == 6
    assert (data.cache_folder() / "notes.txt").read_text() == "somebody's"
    assert list(data.cache_folder().parent.iterdir()) == [data.cache_folder()]


def assert_nothing_is_cached():
    assert not data.cache_folder().exists()
    assert list(data.cache_folder().parent.iterdir()) == []


class Short(QuietHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"only this")


class Gibberish(QuietHandler):
    def do_GET(self):
        self.wfile.write(b"gibberish\r\n\r\n")


def without_the_last(mirror):
    (mirror / f"{TEST_LABELS}.gz").unlink()


def with_damaged_gzip(mirror):
    path = mirror / f"{TRAIN_IMAGES}.gz"
    path.write_bytes(damaged(path.read_bytes()))


def with_other_files(mirror):
    write(mirror, small_files(train=9))


FAILED = {
    "lacks a file": (without_the_last, ": .*404"),
    "has damaged gzip": (with_damaged_gzip, ""),
    "has other files": (with_other_files, ": .*is not the published file"),
    "cuts a download short": (Short, ""),
    "does not speak HTTP": (Gibberish, ""),
}


@pytest.mark.parametrize(("mirror", "reason"), FAILED.values(), ids=FAILED)
def test_a_mirror_that_fails_is_a_failed_place_and_leaves_no_cache(serve, nowhere, published, mirror, reason):
    if not isinstance(mirror, type):
        folder = write(nowhere / "mirror", published)
        mirror(folder)
    address = serve(mirror if isinstance(mirror, type) else folder)
    with pytest.raises(DataError, match=re.escape(address) + reason):
        data.load()
    assert_nothing_is_cached()


@pytest.fixture
def debian(nowhere, published, monkeypatch):
    """Stand-ins for apt-get and dpkg, which note what they were asked; apt-get knows the package only after update."""
    monkeypatch.setattr(data, "DEBIAN_FOLDER", Path("usr/share/no-such-place/fashion-mnist"))
    write(nowhere / "package" / data.DEBIAN_FOLDER, published)
    tools = nowhere / "tools"
    tools.mkdir()
    asked = nowhere / "asked"
    programs = {
        "apt-get": f"""
            echo "$@" >> "{asked}"
            case "$*" in
                *update) touch "{nowhere}/updated" ;;
                *-o*download*) test -e "{nowhere}/updated" && touch dataset-fashion-mnist_1_all.deb ;;
                *) echo "E: first line" >&2; echo "E: Unable to locate package" >&2; exit 100 ;;
            esac""",
        "dpkg": f"""
            test -e "$2" && cp -r "{nowhere}/package/." "$3" """,
    }
    for name, program in programs.items():
        (tools / name).write_text(f"#!/bin/sh\n{program}\n")
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}/usr/bin{os.pathsep}/bin")
    return asked


def test_debian_s_package_is_fetched_with_package_lists_of_its_own_where_apt_has_none(debian):
    assert len(data.load().train_images) == 6
    asked = debian.read_text().splitlines()
    assert asked[0] == "download dataset-fashion-mnist"
    assert asked[1].endswith("update")
    assert all("Dir::State::Lists=" in line for line in asked[1:])
    assert len(read_folder(data.cache_folder()).train_images) == 6


def test_apt_s_last_words_are_passed_on(debian, nowhere):
    (nowhere / "tools" / "apt-get").write_text("#!/bin/sh\necho 'E: first' >&2; echo 'E: no network' >&2; exit 100\n")
    with pytest.raises(DataError, match=r"Debian package dataset-fashion-mnist: apt-get .* failed: E: no network"):
        data.load()
    assert_nothing_is_cached()


# What is handed on


def test_first_takes_the_first_training_images_and_all_test_images_unless_told(tmp_path, files):
    read = read_folder(write(tmp_path, files), hashes(files))
    few = read.first(2)
    assert np.array_equal(few.train_images, read.train_images[:2])
    assert np.array_equal(few.train_labels, read.train_labels[:2])
    assert np.array_equal(few.test_images, read.test_images)
    assert np.array_equal(few.test_labels, read.test_labels)
    assert few.sha256 == read.sha256
    assert np.array_equal(read.first(2, 3).test_images, read.test_images[:3])
    assert np.array_equal(read.first(2, 3).test_labels, read.test_labels[:3])


def test_scaled_images_are_float32_from_0_to_1_with_a_channel():
    scaled = scale(np.arange(256, dtype=np.uint8).reshape(1, 16, 16))
    assert scaled.shape == (1, 16, 16, 1)
    assert scaled.dtype == np.float32
    assert np.array_equal(scaled.ravel(), (np.arange(256) / 255).astype(np.float32))


def test_the_real_data_has_the_published_shape_and_classes(fashion_mnist):
    assert fashion_mnist.train_images.shape == (60_000, 28, 28)
    assert fashion_mnist.test_images.shape == (10_000, 28, 28)
    assert fashion_mnist.train_images.dtype == fashion_mnist.train_labels.dtype == np.uint8
    assert np.array_equal(np.bincount(fashion_mnist.train_labels), np.full(10, 6_000))
    assert np.array_equal(np.bincount(fashion_mnist.test_labels), np.full(10, 1_000))


def test_the_real_data_has_the_published_pixel_mean_and_deviation(fashion_mnist):
    greys = fashion_mnist.train_images
    mean, mean_square = greys.mean() / 255, np.square(greys, dtype=np.uint16).mean() / 255**2
    assert mean == pytest.approx(0.28604, abs=5e-6)
    assert np.sqrt(mean_square - mean**2) == pytest.approx(0.35302, abs=5e-6)
