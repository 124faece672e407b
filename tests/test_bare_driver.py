"""A driver that has neither framework: Ray makes an environment for each."""

import os
import subprocess
import venv
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from runners.core.environment import PROJECT
from runners.core.record import RunRecord

pytestmark = pytest.mark.thorough

FRAMEWORKS = {"tensorflow", "tensorflow_cpu", "keras", "torch"}


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that sees what this one has installed for the project, but no framework and what only they need.

    The packages are linked from outside of it, so that pip never replaces one in place.
    """
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder / "env", with_pip=True)
    packages = folder / "packages"
    packages.mkdir()
    for name in needed_by("level-field", set(), {}):
        for file in metadata.files(name) or []:
            top = file.parts[0]
            if top not in ("..", "__pycache__") and not (packages / top).exists() and not top.startswith("__editable"):
                (packages / top).symlink_to(str(metadata.distribution(name).locate_file(top)))
    (site,) = (folder / "env").glob("lib/python*/site-packages")
    (site / "packages.pth").write_text(str(packages))
    python = folder / "env" / "bin" / "python"
    for framework in FRAMEWORKS:
        tried = subprocess.run([python, "-c", f"import {framework}"], capture_output=True, text=True, check=False)
        assert "ModuleNotFoundError" in tried.stderr
    return python


def needed_by(name: str, extras: set[str], found: dict[str, set[str]]) -> dict[str, set[str]]:
    """Distributions that `name` needs with these extras, all the way down."""
    try:
        required = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return found
    if name != "level-field":
        found[name] = found.get(name, set()) | extras
    for text in required:
        requirement = Requirement(text)
        wanted = any(not requirement.marker or requirement.marker.evaluate({"extra": e}) for e in (*extras, ""))
        if wanted and not (requirement.name in found and requirement.extras <= found[requirement.name]):
            needed_by(requirement.name, requirement.extras, found)
    return found


def test_a_driver_with_neither_framework_does_a_matched_study_of_both(bare_python: Path, tmp_path: Path) -> None:
    registry = [str(bare_python), "-m", "pip", "download", "-q", "--no-deps", "-d", str(tmp_path / "probe"), "six"]
    if subprocess.run(registry, capture_output=True, check=False).returncode:
        pytest.skip("pip reaches no package registry")
    study = ("keras", "torch:ddp:2", "--isolate", "--seeds", "1", "--epochs", "1", "--limit-train", "1280")
    done = subprocess.run(
        [bare_python, PROJECT / "scripts" / "compare.py", *study, "--address", "local", "--out", tmp_path / "out"],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The environments are there after" in done.stdout
    assert "Parity audit (quick): all" in done.stdout
    records = [RunRecord.model_validate_json(path.read_text()) for path in (tmp_path / "out" / "runs").glob("*.json")]
    assert {str(record.spec.contender): record.status for record in records} == {
        "keras": "completed",
        "torch:ddp:2": "completed",
    }
    seen = {
        name: version
        for record in records
        if record.environment
        for name, version in record.environment.versions.items()
    }
    assert seen["torch"].split("+")[0] == metadata.version("torch").split("+")[0]
    assert seen["tensorflow"] == metadata.version("tensorflow-cpu")
