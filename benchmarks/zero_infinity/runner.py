#!/usr/bin/env python3
"""Trains with real, unpatched DeepSpeed ZeRO-Infinity (stage 3, parameters and optimizer state on NVMe), as a workload file says.

    DEEPSPEED_ENV/bin/python runner.py WORKLOAD.json

Prints JSON lines on stdout: one "start", one "step" per optimizer step, one "end". Whoever reads them measures; see processes.py.
One process, no launcher. What DeepSpeed prints goes to stderr.
"""
import json
import logging
import os
import pathlib
import resource
import socket
import sys


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def set_environment(workload):
    """What DeepSpeed and OpenMP read when they are loaded."""
    environment = pathlib.Path(sys.prefix)
    if workload["knobs"]["passive_wait"]:
        os.environ.update(OMP_WAIT_POLICY="passive", GOMP_SPINCOUNT="0")
    rank = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_SIZE": "1"}
    os.environ.update(rank, DS_ACCELERATOR="cpu" if workload["device"] == "cpu" else "cuda", OMP_NUM_THREADS=str(workload["threads"]))
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # nothing is compiled: no processes that wait to do so
    os.environ.setdefault("TORCH_EXTENSIONS_DIR", str(environment.parent / "ext"))
    os.environ["PATH"] = f"{environment / 'bin'}:{os.environ['PATH']}"
    hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)[1]
    try:  # its buffers are locked
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
    nvme = {"device": "nvme", "nvme_path": workload["folder"], "pin_memory": knobs["pin_memory"]}
    return {
        "train_micro_batch_size_per_gpu": workload["rows"],
        "gradient_accumulation_steps": workload["micro_batches"],
        "gradient_clipping": 0.0,
        "steps_per_print": 10**9,
        "optimizer": {"type": "AdamW", "params": {"lr": optimizer["learning_rate"], "betas": optimizer["betas"], "eps": optimizer["epsilon"],
                                                  "weight_decay": optimizer["weight_decay"]}},
        "bf16": {"enabled": True},
        "data_types": {"grad_accum_dtype": "fp32"},
        "zero_optimization": {
            "stage": 3,
            "contiguous_gradients": True,
            "overlap_comm": False,
            "reduce_bucket_size": largest_parameter,
            "sub_group_size": knobs["sub_group_elements"],
            "stage3_prefetch_bucket_size": knobs["prefetch_blocks"] * block,
            "stage3_param_persistence_threshold": 100_000,
            "stage3_max_live_parameters": int(knobs["live_blocks"] * block),
            "stage3_max_reuse_distance": int(knobs["reuse_blocks"] * block),
            "offload_param": {**nvme, "buffer_count": knobs["parameter_buffers"], "buffer_size": -(-largest_parameter // align) * align, "max_in_cpu": 0},
            "offload_optimizer": {**nvme, "buffer_count": 12 if knobs["pipeline"] else 4, "pipeline_read": knobs["pipeline"],
                                  "pipeline_write": knobs["pipeline"]},
        },
        "aio": {"block_size": knobs["block_bytes"], "queue_depth": knobs["queue_depth"], "intra_op_parallelism": knobs["aio_threads"],
                "single_submit": knobs["single_submit"], "overlap_events": knobs["overlap_events"]},
    }


class Batches:
    """Windows of a uint16 file, in order: the data of gsnake's data.order = "sequential"."""

    def __init__(self, workload, numpy, torch):
        self.tokens = numpy.fromfile(workload["tokens"], dtype="<u2").astype(numpy.int64)
        self.workload, self.torch, self.window = workload, torch, 0

    def next(self):
        rows, length = self.workload["rows"], self.workload["sequence_length"]
        windows = (len(self.tokens) - 1) // length
        firsts = [(self.window + row) % windows * length for row in range(rows)]
        self.window += rows
        ids, labels = ([self.tokens[first + shift:first + shift + length] for first in firsts] for shift in (0, 1))
        return tuple(self.torch.stack([self.torch.from_numpy(row) for row in part]).to(self.workload["device"]) for part in (ids, labels))


def set_masters(engine, shapes, seed):
    """DeepSpeed takes its fp32 masters from the bf16 weights: gives it the ones that gsnake has."""
    from deepspeed.utils import safe_set_full_fp32_param
    from model import initial_values
    parameters = iter(engine.module.parameters())
    for unit in initial_values(shapes, seed):
        for value in unit:
            safe_set_full_fp32_param(next(parameters), value)


def build(workload, torch, deepspeed):
    import model
    shapes = model.parameter_shapes(workload["model"])
    largest = max(rows * columns for unit in shapes for rows, columns in (s for s in unit if len(s) == 2))
    config = deepspeed_config(workload, largest)
    with deepspeed.zero.Init(config_dict_or_path=config, dtype=torch.bfloat16):
        network = model.Llama(workload["model"], workload["sequence_length"], workload["seed"], workload["device"], workload["compute"] == "fp32")
    # A block is fetched as a whole. Without this, prefetching and activation checkpointing don't go together (DeepSpeed issue 4072).
    deepspeed.utils.set_z3_leaf_modules(network, [model.Block])
    engine = deepspeed.initialize(model=network, model_parameters=network.parameters(), config=config)[0]
    set_masters(engine, shapes, workload["seed"])
    return engine, config


def start_line(engine, config, base_bytes, torch, deepspeed):
    parameters, optimizer = list(engine.module.parameters()), engine.optimizer
    return {
        "event": "start", "base_bytes": base_bytes, "parameters": sum(p.ds_numel for p in parameters),
        "parameters_on_nvme": sum(p.ds_numel for p in parameters if str(p.ds_tensor.final_location).endswith("nvme")),
        "optimizer_parameters_on_nvme": sum(n for i, n in enumerate(optimizer.fp16_partitioned_groups_flat_numel)
                                            if optimizer._swappable_optimizer_subgroup(i)),
        "optimizer": type(optimizer.optimizer).__name__, "swapper": type(optimizer.optimizer_swapper).__name__,
        "versions": {"deepspeed": deepspeed.__version__, "torch": torch.__version__, "python": sys.version.split()[0]}, "config": config,
    }


def main():
    workload = json.load(open(sys.argv[1]))
    lines = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    set_environment(workload)
    import deepspeed
    import numpy
    import torch
    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    torch.set_num_threads(workload["threads"])
    if workload["device"] == "cpu":
        deepspeed.init_distributed("gloo", verbose=False)
    else:
        torch.cuda.set_device(workload["device"])
        deepspeed.init_distributed("nccl", verbose=False)
    base_bytes = resident_bytes()
    batches = Batches(workload, numpy, torch)
    engine, config = build(workload, torch, deepspeed)
    print(json.dumps(start_line(engine, config, base_bytes, torch, deepspeed)), file=lines)
    for step in range(1, workload["steps"] + 1):
        losses = []
        for _ in range(workload["micro_batches"]):
            loss = engine(*batches.next())
            engine.backward(loss)
            engine.step()
            losses.append(loss.item())
        print(json.dumps({"event": "step", "step": step, "loss": sum(losses) / len(losses)}), file=lines)
    engine.destroy()
    print(json.dumps({"event": "end"}), file=lines)


if __name__ == "__main__":
    main()
