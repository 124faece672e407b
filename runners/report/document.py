"""The verdicts for machines: one JSON document of a fixed schema, its numbers as in the tables, unrounded."""

import json
from math import isfinite
from typing import TYPE_CHECKING, Any

from runners.report.wording import called

if TYPE_CHECKING:
    from runners.report.build import Report

SCHEMA = "level-field/verdicts/2"  # the number grows when a key goes away or changes its meaning


def to_json(report: "Report") -> str:
    """The document as JSON text; a number that is absent or not finite is null.

    `comparisons` holds a row of tables/comparisons.csv each, and what its track may be called; `differs` says whether
    any primary metric's verdict is that two contenders differ, corrected for the number of pairs and tracks.
    `runs` counts the records by how the runs ended, and the files in runs/ that are no record of the study.
    """
    plan, ended = report.study.plan, report.runs["status"].value_counts()
    document = {
        "schema": SCHEMA,
        "differs": report.differs,
        "study": {
            "command": report.study.command,
            "begun_at": report.study.begun_at.isoformat(),
            "git_commit": report.study.git_commit,
            "code_sha256": report.study.code_sha256,
            "data_sha256": report.study.data_sha256,
            "contenders": [str(contender) for contender in plan.contenders],
            "tracks": list(plan.tracks),
            "seeds": len(plan.seeds),
            "epochs": plan.epochs,
        },
        "runs": {
            **{status: int(ended.get(status, 0)) for status in ("completed", "failed", "diverged", "oom")},
            "unreadable": len(report.unreadable),
        },
        "audit": None if report.audit is None else {"level": report.audit.level, "holds": not report.audit.failed},
        "comparisons": [
            {
                **{str(name): _plain(value) for name, value in row.items()},
                "told_as": called(row["track"], row["paired"]),
            }
            for row in report.comparisons.to_dict("records")
        ],
        "notices": list(report.notices),
    }
    return json.dumps(document, indent=2, allow_nan=False)


def _plain(value: Any) -> Any:
    """What JSON has: pandas' missing values, NaN and infinity are null, NumPy's numbers are Python's."""
    if isinstance(value, str | bool | None):
        return value
    return value.item() if hasattr(value, "item") and isfinite(value) else _finite(value)


def _finite(value: Any) -> Any:
    return value if isinstance(value, int | float) and isfinite(value) else None
