#!/usr/bin/env bash
# Trains on several ranks of this machine: examples/ranks/torchrun.sh RANKS train.toml [more of gsnake train's options]
# On several machines, the same on each of them, with torchrun's own options for that:
#   NODES=2 NODE=0 MASTER=10.0.0.1:29500 examples/ranks/torchrun.sh 4 train.toml
set -euo pipefail
ranks=$1
shift
gsnake=${GSNAKE:-gsnake}
place=(--standalone)
if [[ ${NODES:-1} -gt 1 ]]; then
  place=(--nnodes "$NODES" --node-rank "$NODE" --master-addr "${MASTER%:*}" --master-port "${MASTER##*:}")
fi
exec "${TORCHRUN:-torchrun}" "${place[@]}" --no-python --nproc-per-node "$ranks" "$gsnake" train "$@"
