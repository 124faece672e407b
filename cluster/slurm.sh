#!/usr/bin/env bash
# Level Field under Slurm, one Ray node a machine; in the project's folder, on a file system that the machines share:
#   make test
#   sbatch cluster/slurm.sh --seeds 10 --out results/ten
#   sbatch --nodes 4 --gpus-per-task 2 cluster/slurm.sh --seeds 20 --out results/gpus
#
# The first, once, makes .venv. Options of sbatch go before the script, those of compare.py after it.
# Ray 2.56 or later, for the reasons in cluster.yaml. Other users of the machines are kept out by the token in
# ~/.ray/auth_token, made by the first job; the dashboard listens on loopback alone.
# On GPUs each framework has an environment of its own: its first use on a machine of the job installs it from a package
# registry, which takes minutes.
#SBATCH --job-name=level-field
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=04:00:00
set -euo pipefail
cd "$SLURM_SUBMIT_DIR"
export PATH="$PWD/.venv/bin:$PATH" PYTHONPATH="$PWD" RAY_AUTH_MODE=token RAY_RUNTIME_ENV_PIP_CACHE_SIZE_GB=100
(umask 077 && ray get-auth-token --generate > /dev/null) # which prints it

# Slurm runs this on the job's first machine: Ray's head, by a port that jobs sharing the machine do not share.
address="$(hostname -I | cut -d ' ' -f 1):$((20000 + SLURM_JOB_ID % 10000))"

# Since Slurm 22.05 srun does not take --cpus-per-task from sbatch.
srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" \
  --cpus-per-task="$SLURM_CPUS_PER_TASK" \
  ray symmetric-run --address "$address" --min-nodes "$SLURM_JOB_NUM_NODES" \
  --num-cpus="$SLURM_CPUS_PER_TASK" --dashboard-host=127.0.0.1 --disable-usage-stats \
  -- python scripts/compare.py --address "$address" "$@"
