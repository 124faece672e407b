"""Reads a finished study back and checks it: `python -m tests.check_results FOLDER --seeds 2 --epochs 1`."""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from lenet.data import load
from runners.core import store


def main() -> None:
    """Exit with an AssertionError at the first thing that is not as it should be."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("folder", type=Path)
    options.add_argument("--seeds", type=int, required=True)
    options.add_argument("--epochs", type=int, required=True)
    chosen = options.parse_args()
    folder = chosen.folder
    study = store.read_study(folder)
    assert study is not None
    records, unreadable = store.read_records(folder, study)
    assert (len(records), unreadable) == (2 * chosen.seeds, [])
    assert all(record.status == "completed" and len(record.epochs) == chosen.epochs for record in records)
    runs = pd.read_csv(folder / "tables" / "runs.csv")
    parquet = pd.read_parquet(folder / "tables" / "runs.parquet")
    pd.testing.assert_frame_equal(runs.drop(columns="error"), parquet.drop(columns="error"), check_dtype=False)
    for _, pair in runs.groupby("seed"):
        assert len(pair) == 2
        assert pair["init_sha256"].nunique() == pair["order_sha256"].nunique() == 1
        assert np.ptp(pair["test_accuracy"]) < 0.05
    labels = load().test_labels
    np.testing.assert_array_equal(store.read_labels(folder), labels)
    for run_id, accuracy in runs[["run_id", "test_accuracy"]].itertuples(index=False):
        predictions = np.load(folder / "predictions" / f"{run_id}.npy", allow_pickle=False)
        assert abs((predictions == labels).mean() - accuracy) < 1e-6
    # An epoch over all the images takes LeNet-5 well past 75 %; chance is 10 %.
    assert runs["test_accuracy"].min() > 0.75
    page = (folder / "report.html").read_text()
    assert page.count("<figure>") == 14
    assert study.command in page
    print(f"{folder}: {len(records)} runs read back and checked")


if __name__ == "__main__":
    main()
