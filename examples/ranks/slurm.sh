#!/usr/bin/env bash
#SBATCH --job-name=gsnake
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --signal=TERM@120
# sbatch examples/ranks/slurm.sh train.toml [more of gsnake train's options]: one task a rank. Two minutes before its time is over, all ranks stop after the step in
# hand and commit it; the next job goes on from there.
set -euo pipefail
MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export MASTER_ADDR MASTER_PORT=${MASTER_PORT:-29500} GSNAKE=${GSNAKE:-gsnake}
exec srun --cpu-bind=none bash -c '
  export RANK=$SLURM_PROCID WORLD_SIZE=$SLURM_NTASKS LOCAL_RANK=$SLURM_LOCALID LOCAL_WORLD_SIZE=$((SLURM_NTASKS / SLURM_NNODES))
  exec "$GSNAKE" train "$@"' gsnake "$@"
