# Settings for every shell on a cluster's machine; its ~/.bashrc reads this file (see cluster.yaml).
# shellcheck shell=sh
export PATH="$HOME/level-field/.venv/bin:$PATH"
export PYTHONPATH="$HOME/level-field" # `ray submit` runs a copy of the script in ~, without its packages
export RAY_AUTH_MODE=token            # Ray accepts only clients with the token in ~/.ray/auth_token
# Isolated environments take gigabytes. Beyond 10, its default, Ray deletes and reinstalls those that no run uses.
export RAY_RUNTIME_ENV_PIP_CACHE_SIZE_GB=100
