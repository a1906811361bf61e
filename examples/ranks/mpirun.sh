#!/usr/bin/env bash
# Trains on several ranks that Open MPI starts: examples/ranks/mpirun.sh RANKS train.toml [more of gsnake train's options]
# On several machines: HOSTS=hostfile MASTER=10.0.0.1:29500 examples/ranks/mpirun.sh 8 train.toml
# Of MPI, nothing but its starting of processes is used: each sets torchrun's variables from Open MPI's own.
set -euo pipefail
ranks=$1
shift
MASTER=${MASTER:-127.0.0.1:29500}
export MASTER_ADDR=${MASTER%:*} MASTER_PORT=${MASTER##*:} GSNAKE=${GSNAKE:-gsnake}
hosts=()
[[ -z ${HOSTS:-} ]] || hosts=(--hostfile "$HOSTS")
exec mpirun ${hosts[@]+"${hosts[@]}"} -n "$ranks" --bind-to none ${MPIRUN_OPTIONS:-} -x MASTER_ADDR -x MASTER_PORT -x GSNAKE bash -c '
  export RANK=$OMPI_COMM_WORLD_RANK WORLD_SIZE=$OMPI_COMM_WORLD_SIZE
  export LOCAL_RANK=$OMPI_COMM_WORLD_LOCAL_RANK LOCAL_WORLD_SIZE=$OMPI_COMM_WORLD_LOCAL_SIZE
  exec "$GSNAKE" train "$@"' gsnake "$@"
