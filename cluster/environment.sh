# What every shell of a cluster's machine needs; its ~/.bashrc reads it (see cluster.yaml).
# shellcheck shell=sh
export PATH="$HOME/level-field/.venv/bin:$PATH"
export PYTHONPATH="$HOME/level-field" # `ray submit` runs a copy of the script in ~, away from its packages
export RAY_AUTH_MODE=token            # Ray obeys none without the token in ~/.ray/auth_token
# Isolated environments are gigabytes. Beyond 10, if nothing is said, Ray drops whichever has no run, and makes it anew.
export RAY_RUNTIME_ENV_PIP_CACHE_SIZE_GB=100
