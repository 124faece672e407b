"""The verdicts for machines: one JSON document of a fixed schema, its numbers as in the tables, unrounded."""

import json
from math import isfinite
from typing import Any

from runners.report.report import Report
from runners.report.wording import called

SCHEMA = "level-field/verdicts/2"  # the number grows when a key goes away or changes its meaning


def to_json(report: Report) -> str:
    """Return the document as JSON text; a number that is absent or not finite is null.

    `comparisons` holds each row of tables/comparisons.csv, and as `told_as` the name under which its track is shown;
    `differs` says whether any two contenders differ in the primary metric, corrected for the number of pairs and
    tracks. `runs` counts the records by status, and the files in runs/ that hold no record of the study.
    """
    inputs, study, plan = report.inputs, report.inputs.study, report.inputs.plan
    ended, audit = inputs.runs["status"].value_counts(), inputs.audit
    document = {
        "schema": SCHEMA,
        "differs": report.differs,
        "study": {
            "command": study.command,
            "begun_at": study.begun_at.isoformat(),
            "git_commit": study.git_commit,
            "code_sha256": study.code_sha256,
            "data_sha256": study.data_sha256,
            "contenders": [str(contender) for contender in plan.contenders],
            "tracks": list(plan.tracks),
            "seeds": len(plan.seeds),
            "epochs": plan.epochs,
        },
        "runs": {
            **{status: int(ended.get(status, 0)) for status in ("completed", "failed", "diverged", "oom")},
            "unreadable": len(inputs.unreadable),
        },
        "audit": None if audit is None else {"level": audit.level, "holds": not audit.failed},
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
    """Return a value as JSON has it: missing values, NaN and infinity are null, NumPy's numbers are Python's."""
    if isinstance(value, str | bool | None):
        return value
    number = value.item() if hasattr(value, "item") else value
    return number if isinstance(number, int | float) and isfinite(number) else None
