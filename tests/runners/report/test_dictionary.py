"""RESULTS.md describes every file of a results folder and every column of its tables, and nothing that is not there."""

from fnmatch import fnmatch

import pandas as pd
import pytest

from runners.parity import divergence
from runners.parity.divergence import Divergence, Line
from runners.report.build import build
from runners.report.dictionary import DOCUMENT, FILES, TABLES, markdown

LINE = Line(a="torch", b="keras", precision="float32", distances=(1e-7, 2e-3), framework=None)


@pytest.fixture(scope="module")
def folders(everything, make_study_folder, tmp_path_factory):
    """Two studies that together have every table."""
    folder = make_study_folder(tmp_path_factory.mktemp("scaled"), ("torch", "torch:ddp:2"), [0])
    divergence.write(folder, Divergence(steps=(1, 469), lines=(LINE,)))
    build(folder)
    return everything.folder, folder


def test_the_document_is_the_one_that_is_made() -> None:
    assert DOCUMENT.read_text() == markdown(), "run `python -m runners.report.dictionary`"


def test_every_column_of_every_table_is_described_in_its_order(folders) -> None:
    paths = {path.stem: path for folder in folders for path in folder.glob("tables/*.csv")}
    assert paths.keys() == TABLES.keys()
    for name, path in paths.items():
        assert described(list(pd.read_csv(path).columns), list(TABLES[name].columns)) == list(TABLES[name].columns)


def described(columns: list[str], patterns: list[str]) -> list[str]:
    """The pattern of each column, each pattern once; a column that no pattern matches stands for itself."""
    return list(dict.fromkeys(next((p for p in patterns if fnmatch(column, p)), column) for column in columns))


def test_a_column_without_description_and_a_description_without_column_are_noticed() -> None:
    assert described(["a", "b_mean", "c_mean", "new"], ["a", "*_mean", "gone"]) == ["a", "*_mean", "new"]


def test_every_file_of_a_results_folder_is_described(folders) -> None:
    files = {str(path.relative_to(folder)) for folder in folders for path in folder.rglob("*") if path.is_file()}
    assert [name for name in files if not any(fnmatch(name, pattern) for pattern in FILES)] == []
