"""Environments made by Ray for one framework each; versions that differ are refused."""

import os
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster

from cluster.isolation import _same_code, agreed_versions, pins, shared, versions_on_nodes
from cluster.resources import Need
from runners.core.environment import PROJECT, Software, code_sha256, refuse_other_software
from runners.core.errors import BadInput


def test_each_framework_has_the_project_s_pins_and_on_gpus_tensorflow_its_cuda_build() -> None:
    constraints = (PROJECT / "constraints.txt").read_text().splitlines()
    (torch,) = [line for line in constraints if line.startswith("torch==")]
    (tensorflow,) = [line.partition("==")[2] for line in constraints if line.startswith("tensorflow_cpu==")]
    assert pins("torch", "gpu")[1:] == [torch]
    assert f"tensorflow-cpu=={tensorflow}" in pins("keras", "cpu")
    assert f"tensorflow[and-cuda]=={tensorflow}" in pins("keras", "gpu")
    assert all("==" in pin for pin in pins("keras", "cpu")[1:])


def test_versions_that_two_nodes_agree_on_are_the_study_s() -> None:
    answers = {(node, name): ("host", {"numpy": "2", name: "1"}) for node in "ab" for name in ("keras", "torch")}
    assert agreed_versions(answers) == {"numpy": "2", "keras": "1", "torch": "1"}


def test_a_package_that_one_node_has_and_another_has_not_is_a_difference() -> None:
    with pytest.raises(BadInput, match=r"torch for torch is 2 on one \(a\) and None on two \(b\)"):
        agreed_versions({("a", "torch"): ("one", {"torch": "2"}), ("b", "torch"): ("two", {})})


def test_a_run_on_a_node_with_other_software_than_the_study_s_refuses() -> None:
    seen = {"python": ".".join(map(str, sys.version_info[:3])), "ray": ray.__version__}
    seen |= {name: metadata.version(name) for name in ("numpy", "torch")}
    refuse_other_software("torch", Software(code_sha256(), seen))
    with pytest.raises(BadInput, match=rf"has torch {re.escape(seen['torch'])}, but the study's other runs 0\.1;"):
        refuse_other_software("torch", Software(code_sha256(), seen | {"torch": "0.1"}))
    with pytest.raises(BadInput, match=rf"has other code of this project in {PROJECT} .* than the study \(0000"):
        refuse_other_software("torch", Software("0" * 64, seen))


def test_a_node_with_other_code_than_the_driver_s_is_refused_by_name() -> None:
    assert _same_code("there", {"torch": "2"}, code_sha256()) == ("there", {"torch": "2"})
    for told in ((), ("0" * 64,)):  # an older checkout tells none
        with pytest.raises(BadInput, match=r"^there has other code of this project \(.*; put the same checkout on all"):
            _same_code("there", {"torch": "2"}, *told)


@pytest.fixture
def two_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Of which the second finds another torch first: the metadata of one."""
    other = tmp_path / "torch-0.1.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 0.1\n")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', PROJECT)}")
    cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False, logging_level=40)
    yield
    ray.shutdown()
    cluster.shutdown()


@pytest.mark.thorough
def test_a_study_on_nodes_whose_versions_differ_is_refused_with_both_named(two_nodes: None) -> None:
    told: list[str] = []
    assert "torch" not in versions_on_nodes({"keras"}, [Need(1, 0)], shared, told.append)
    pair = rf"(0\.1|{re.escape(metadata.version('torch'))})"
    with pytest.raises(BadInput, match=rf"torch for torch is {pair} on \S+ \(\w+\) and {pair} on \S+ \(\w+\); install"):
        versions_on_nodes({"torch"}, [Need(1, 0)], shared, told.append)
    assert told == []
