"""The seed-variance report: how much of a result is its seed?"""

from scripts import cli


def seed_variance() -> None:
    """Report the distribution of results over seeds. Not available in this version."""
    with cli.exit_codes():
        raise cli.not_available_yet("scripts/seed_variance.py", "the seed-variance report")


if __name__ == "__main__":
    cli.run_app(seed_variance)
