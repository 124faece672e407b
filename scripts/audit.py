"""The parity audit: are the two sides really the same?"""

from scripts import cli


def audit() -> None:
    """Check that matched contenders compute the same thing. Not available in this version."""
    with cli.exit_codes():
        raise cli.not_available_yet("scripts/audit.py", "the parity audit")


if __name__ == "__main__":
    cli.run_app(audit)
