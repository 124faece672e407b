"""The parity audit, for people."""

from runners.parity.checks import Audit, AuditRow
from runners.report.wording import ABSENT

DRAWN = "drawn, and audited"  # what matched takes from no framework: the order of images, the last batch included
HEADING = ("check", "precision", "held against each other", "measured", "allowed", "holds")


def audit_grid(audit: Audit) -> list[tuple[str, ...]]:
    """The checks for reading, in order; measured is a relative difference, or of exact checks a count of faults."""
    return [_cells(row) for row in audit.rows]


def summary(audit: Audit) -> str:
    """The outcome in one sentence."""
    where = f"on {', '.join(audit.machines)}" if audit.machines else "nowhere"
    if audit.failed:
        first = audit.failed[0]
        count = f"{len(audit.failed)} of {len(audit.rows)} checks do not hold"
        return f"Parity audit ({audit.level}) failed: {count}, first {first.check} ({first.precision}). {first.finding}"
    worst = max(row.measured for row in audit.rows if row.precision == "float64")
    return (
        f"Parity audit ({audit.level}): all {len(audit.rows)} checks hold, the largest relative difference in float64 "
        f"{worst:.0e}; {audit.seconds:.0f} s {where}"
    )


def defaults_grid(audit: Audit) -> list[tuple[str, ...]]:
    """What contenders choose differently where nobody chooses for them, beside what matched uses.

    A heading row, then a row for each fact in which they differ, or in which matched differs from one of them.
    """
    facts = dict.fromkeys(fact for each in audit.defaults for fact in each.native)
    native = [each.native for each in audit.defaults]
    matched = [dict.fromkeys(each.native, DRAWN) | each.matched for each in audit.defaults]
    rows = [(fact, *(told.get(fact, ABSENT) for told in (*native, *matched))) for fact in facts]
    heading = ("", *(f"{each.contender}, {track}" for track in ("native", "matched") for each in audit.defaults))
    return [heading, *(row for row in rows if len(set(row[1:]) - {ABSENT}) > 1)]


def _cells(row: AuditRow) -> tuple[str, ...]:
    exact = row.precision == "exact"
    measured, allowed = (f"{value:.0f}" if exact else f"{value:.1e}" for value in (row.measured, row.allowed))
    return row.check, row.precision, f"{row.a}, {row.b}", measured, allowed, "yes" if row.holds else "NO"
