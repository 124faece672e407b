#!/usr/bin/env bash
# Level Field under Slurm, one Ray node a machine. In the project's folder, on a file system that the machines share:
#   make test
#   sbatch cluster/slurm.sh --seeds 10 --out results/ten
#   sbatch --nodes 4 --gpus-per-task 2 cluster/slurm.sh --seeds 20 --out results/gpus
#
# `make test` is needed once: it makes .venv. Options of sbatch go before the script, those of compare.py after it.
# Use Ray 2.56 or later, for the reasons in cluster.yaml. The token in ~/.ray/auth_token, which the first job makes,
# keeps out other users of the machines; the dashboard listens on loopback only.
# On GPUs each framework has its own environment: its first use on a machine of the job installs it from a package
# registry, which takes minutes.
#SBATCH --job-name=level-field
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=04:00:00
set -euo pipefail
cd "$SLURM_SUBMIT_DIR"
export PATH="$PWD/.venv/bin:$PATH" PYTHONPATH="$PWD" RAY_AUTH_MODE=token RAY_RUNTIME_ENV_PIP_CACHE_SIZE_GB=100
(umask 077 && ray get-auth-token --generate > /dev/null) # it prints the token

# Slurm runs this on the job's first machine, Ray's head. Each job on a machine has another port.
address="$(hostname -I | cut -d ' ' -f 1):$((20000 + SLURM_JOB_ID % 10000))"

# Since Slurm 22.05, srun does not inherit --cpus-per-task from sbatch.
srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" \
  --cpus-per-task="$SLURM_CPUS_PER_TASK" \
  ray symmetric-run --address "$address" --min-nodes "$SLURM_JOB_NUM_NODES" \
  --num-cpus="$SLURM_CPUS_PER_TASK" --dashboard-host=127.0.0.1 --disable-usage-stats \
  -- python scripts/compare.py --address "$address" "$@"
