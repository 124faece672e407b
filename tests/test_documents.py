"""What the documents promise is there: commands, options, files, links; and README is short."""

import importlib
import re

import pytest
import typer

from runners.core.environment import PROJECT

DOCUMENTS = ("README.md", "CONTRIBUTING.md", "RESULTS.md", "cluster/README.md", "runners/README.md")
TEXTS = {name: (PROJECT / name).read_text() for name in DOCUMENTS}
SCRIPTS = ("audit", "compare", "predict", "report", "seed_variance", "train")
OPTIONS_OF_OTHERS = {"--help", "--exclude-editable", "--generate", "--head"}  # pip, ray
FOLDERS = ("scripts", "cluster", "runners", "lenet", "tests", "core", "report", "keras", "torch", ".ci", ".github")


def options_of(script: str) -> set[str]:
    app = typer.Typer(add_completion=False)
    app.command()(getattr(importlib.import_module(f"scripts.{script}"), script))
    parameters = typer.main.get_command(app).params
    return {option for parameter in parameters for option in (*parameter.opts, *parameter.secondary_opts)}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_option_is_an_option_of_a_script(name: str) -> None:
    known = OPTIONS_OF_OTHERS.union(*map(options_of, SCRIPTS))
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", TEXTS[name])) <= known


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_command_of_the_readme_has_only_options_of_its_script(script: str) -> None:
    commands = re.findall(rf"python scripts/{script}\.py([^\n&]*)", TEXTS["README.md"])
    assert commands
    for command in commands:
        assert set(re.findall(r"--[a-z-]+", command)) <= options_of(script)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_file_and_link_exists(name: str) -> None:
    folder = (PROJECT / name).parent
    links = re.findall(r"\]\(([^)]+)\)|src=\"(\.[^\"]+)\"", TEXTS[name])
    paths = re.findall(rf"(?:{'|'.join(map(re.escape, FOLDERS))})/[\w./-]*", TEXTS[name])
    for path in [*("".join(link) for link in links), *(path.rstrip(".") for path in paths)]:
        assert (folder / path).exists() or (PROJECT / path).exists(), path


def test_the_readme_has_at_most_120_lines() -> None:
    assert len(TEXTS["README.md"].splitlines()) <= 120


def test_make_has_the_targets_that_are_named() -> None:
    targets = re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    for text in TEXTS.values():
        assert set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)) <= set(targets)
