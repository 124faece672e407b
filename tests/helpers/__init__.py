"""What tests share: made-up runs, real processes and Rays, planted faults, programs that tests start."""

from pathlib import Path

HELPERS = Path(__file__).parent
SLEEP_SECONDS = 0.03  # of a replica that is made slow, before each of its steps
