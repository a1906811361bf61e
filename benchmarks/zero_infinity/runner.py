#!/usr/bin/env python3
"""Trains with real, unpatched DeepSpeed ZeRO-Infinity (stage 3, parameters and optimizer state on NVMe), as a workload file says.

    DEEPSPEED_ENV/bin/python runner.py WORKLOAD.json

Prints JSON lines on stdout: one "start", one "step" per optimizer step, one "end". Whoever reads them measures; see processes.py.
One process a rank, without DeepSpeed's launcher: what that would set, processes.py sets, and ranks.py. What DeepSpeed prints goes to stderr.
"""
import ctypes
import json
import logging
import os
import resource
import sys


def allow_locked_memory():
    """DeepSpeed's buffers are locked."""
    hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)[1]
    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY,) * 2)
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (hard, hard))


def resident_bytes():
    for line in open("/proc/self/status"):
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def deepspeed_config(workload, largest_parameter):
    """Settings from the workload's knobs (settings.py); the rest is what makes the two programs do the same work."""
    knobs, optimizer, shape = workload["knobs"], workload["optimizer"], workload["model"]
    block = 4 * shape["hidden"]**2 + 3 * shape["hidden"] * shape["intermediate"]
    align = 1024 * knobs["aio_threads"]
    largest_part = -(-largest_parameter // workload["ranks"])
    nvme = {"device": "nvme", "nvme_path": workload["folder"], "pin_memory": knobs["pin_memory"]}
    return {
        "train_micro_batch_size_per_gpu": workload["rows"],
        "gradient_accumulation_steps": workload["micro_batches"] // workload["ranks"],
        "gradient_clipping": 0.0,
        "steps_per_print": 10**9,
        "optimizer": {"type": "AdamW", "params": {"lr": optimizer["learning_rate"], "betas": optimizer["betas"], "eps": optimizer["epsilon"],
                                                  "weight_decay": optimizer["weight_decay"]}},
        "bf16": {"enabled": True},
        "data_types": {"grad_accum_dtype": "fp32"},
        "zero_optimization": {
            "stage": 3,
            "contiguous_gradients": True,
            "overlap_comm": knobs["overlap_comm"],
            "reduce_bucket_size": knobs["reduce_tensors"] * largest_parameter,
            "sub_group_size": knobs["sub_group_elements"],
            "stage3_prefetch_bucket_size": knobs["prefetch_blocks"] * block,
            "stage3_param_persistence_threshold": 100_000,
            "stage3_max_live_parameters": int(knobs["live_blocks"] * block),
            "stage3_max_reuse_distance": int(knobs["reuse_blocks"] * block),
            "offload_param": {**nvme, "buffer_count": knobs["parameter_buffers"], "buffer_size": -(-largest_part // align) * align,
                              "max_in_cpu": 10**12 if knobs["weights_in_host"] else 0},
            "offload_optimizer": {**nvme, "buffer_count": 12 if knobs["pipeline_read"] or knobs["pipeline_write"] else 4,
                                  "pipeline_read": knobs["pipeline_read"], "pipeline_write": knobs["pipeline_write"]},
        },
        "aio": {"block_size": knobs["block_bytes"], "queue_depth": knobs["queue_depth"], "intra_op_parallelism": knobs["aio_threads"],
                "single_submit": knobs["single_submit"], "overlap_events": knobs["overlap_events"]},
    }


def own_micro_batches(workload, step, rank):
    """The numbers, in the whole run, of a step's micro-batches that this rank takes: in runs, as gsnake deals them."""
    count = workload["micro_batches"] // workload["ranks"]
    first = (step - 1) * workload["micro_batches"] + rank * count
    return range(first, first + count)


class Batches:
    """Windows of a uint16 file, in order: the data of gsnake's data.order = "sequential"."""

    def __init__(self, workload, numpy, torch):
        self.tokens = numpy.fromfile(workload["tokens"], dtype="<u2").astype(numpy.int64)
        self.workload, self.torch = workload, torch

    def micro_batch(self, number):
        rows, length = self.workload["rows"], self.workload["sequence_length"]
        windows = (len(self.tokens) - 1) // length
        firsts = [(number * rows + row) % windows * length for row in range(rows)]
        ids, labels = ([self.tokens[first + shift:first + shift + length] for first in firsts] for shift in (0, 1))
        return tuple(self.torch.stack([self.torch.from_numpy(row) for row in part]).to(device_of(self.workload)) for part in (ids, labels))


def device_of(workload):
    """The only one that the process sees (processes.py)."""
    return "cpu" if workload["device"] == "cpu" else "cuda:0"


def masters(engine, shapes, seed):
    """Each parameter with the fp32 master that gsnake starts from, in order."""
    from model import initial_values
    parameters = iter(engine.module.parameters())
    for unit in initial_values(shapes, seed):
        for value in unit:
            yield next(parameters), value


def set_masters(engine, shapes, seed, rank):
    """DeepSpeed takes its fp32 masters from the bf16 weights: gives it the ones that gsnake has, of which a rank owns an equal part, the last one's filled up. A
    group of parameters is brought in from the drive and written back once: its write-back is asynchronous, and bringing the same group in again at once could
    read what was there before."""
    optimizer = engine.optimizer
    inside = None
    for parameter, value in masters(engine, shapes, seed):
        group, offset, count = optimizer.grad_position[optimizer.get_param_id(parameter)]
        if group != inside:
            _leave(optimizer, inside)
            if optimizer._swappable_optimizer_subgroup(group):
                optimizer._optimizer_states_and_gradient_swap_in(group)
            inside = group
        part = value.flatten()[rank * count:(rank + 1) * count]
        optimizer.fp32_partitioned_groups_flat[group].data.narrow(0, offset, part.numel()).copy_(part)
    _leave(optimizer, inside)


def _leave(optimizer, group):
    if group is not None and optimizer._swappable_optimizer_subgroup(group):
        optimizer._optimizer_states_and_gradient_swap_out(group)


def check_masters(engine, shapes, seed):
    """What DeepSpeed has on the drive by now is what was set, bit for bit."""
    from deepspeed.utils import safe_get_full_fp32_param
    for number, (parameter, value) in enumerate(masters(engine, shapes, seed)):
        found = safe_get_full_fp32_param(parameter).cpu().flatten()
        if not found.equal(value.flatten()):
            raise SystemExit(f"DeepSpeed's master of parameter {number} is not what it was set to: {int((found != value.flatten()).sum())} of {value.numel()} values differ")


def build(workload, rank, torch, deepspeed):
    import model
    shapes = model.parameter_shapes(workload["model"])
    largest = max(rows * columns for unit in shapes for rows, columns in (s for s in unit if len(s) == 2))
    config = deepspeed_config(workload, largest)
    with deepspeed.zero.Init(config_dict_or_path=config, dtype=torch.bfloat16):
        network = model.Llama(workload["model"], workload["sequence_length"], workload["seed"], device_of(workload), workload["compute"] == "fp32")
    # A block is fetched as a whole. Without this, prefetching and activation checkpointing don't go together (DeepSpeed issue 4072).
    deepspeed.utils.set_z3_leaf_modules(network, [model.Block])
    engine = deepspeed.initialize(model=network, model_parameters=network.parameters(), config=config)[0]
    set_masters(engine, shapes, workload["seed"], rank)
    if workload["check_masters"]:
        check_masters(engine, shapes, workload["seed"])
    return engine, config


def start_line(engine, config, ranks, base_bytes, torch, deepspeed):
    parameters, optimizer = list(engine.module.parameters()), engine.optimizer
    return {
        "event": "start", "base_bytes": base_bytes, "parameters": sum(p.ds_numel for p in parameters),
        "parameters_on_nvme": sum(p.ds_numel for p in parameters if str(p.ds_tensor.final_location).endswith("nvme")),
        "optimizer_parameters_on_nvme": ranks * sum(n for i, n in enumerate(optimizer.fp16_partitioned_groups_flat_numel)
                                                    if optimizer._swappable_optimizer_subgroup(i)),  # each rank has an equal part
        "optimizer": type(optimizer.optimizer).__name__, "swapper": type(optimizer.optimizer_swapper).__name__,
        "versions": {"deepspeed": deepspeed.__version__, "torch": torch.__version__, "python": sys.version.split()[0]}, "config": config,
    }


def train_step(engine, batches, numbers):
    """One optimizer step; the mean loss of this rank's micro-batches. The device is asked for it once, at the end."""
    losses = []
    for number in numbers:
        loss = engine(*batches.micro_batch(number))
        engine.backward(loss)
        engine.step()
        losses.append(loss.detach().double())
    return sum(losses).item() / len(losses)


def main():
    workload = json.load(open(sys.argv[1]))
    lines = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    rank = int(os.environ["RANK"])
    allow_locked_memory()
    import deepspeed
    import numpy
    import torch
    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    if device_of(workload) == "cpu":
        deepspeed.init_distributed("gloo", verbose=False)
    else:
        torch.cuda.set_device(device_of(workload))
        deepspeed.init_distributed("nccl", verbose=False)
    base_bytes = resident_bytes()
    batches = Batches(workload, numpy, torch)
    engine, config = build(workload, rank, torch, deepspeed)
    print(json.dumps(start_line(engine, config, workload["ranks"], base_bytes, torch, deepspeed)), file=lines)
    for step in range(1, workload["steps"] + 1):
        loss = train_step(engine, batches, own_micro_batches(workload, step, rank))
        if step <= workload["trim_after"]:
            ctypes.CDLL(None).malloc_trim(0)  # what setting up took goes back, as in gsnake
        print(json.dumps({"event": "step", "step": step, "loss": loss}), file=lines)
    engine.destroy()
    print(json.dumps({"event": "end"}), file=lines)


if __name__ == "__main__":
    main()
