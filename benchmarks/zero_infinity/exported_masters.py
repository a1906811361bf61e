#!/usr/bin/env python3
"""Compares the fp32 weights of an exported Hugging Face folder, bit for bit, with the initial values that DeepSpeed is given.

    DEEPSPEED_ENV/bin/python exported_masters.py WORKLOAD.json FOLDER
"""
import json
import pathlib
import struct
import sys

import numpy
import torch

import model

BLOCK = ["input_layernorm", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "post_attention_layernorm", "mlp.gate_proj",
         "mlp.up_proj", "mlp.down_proj"]


def names(layers):
    """Of each unit's parameters, in the order of model.parameter_shapes."""
    blocks = [[f"model.layers.{layer}.{part}.weight" for part in BLOCK] for layer in range(layers)]
    return [["model.embed_tokens.weight"], *blocks, ["model.norm.weight", "lm_head.weight"]]


def tensors(folder):
    """fp32 tensors by name (safetensors: the header's length, the header, the data)."""
    found = {}
    for path in sorted(folder.glob("*.safetensors")):
        data = path.read_bytes()
        length = struct.unpack("<Q", data[:8])[0]
        for name, entry in json.loads(data[8:8 + length]).items():
            if name != "__metadata__":
                begin, end = (8 + length + offset for offset in entry["data_offsets"])
                assert entry["dtype"] == "F32", entry
                found[name] = torch.from_numpy(numpy.frombuffer(data[begin:end], dtype=numpy.float32).copy()).view(entry["shape"])
    return found


def main():
    workload, exported = json.load(open(sys.argv[1])), tensors(pathlib.Path(sys.argv[2]))
    shapes = model.parameter_shapes(workload["model"])
    for unit, values in zip(names(workload["model"]["layers"]), model.initial_values(shapes, workload["seed"])):
        for name, value in zip(unit, values, strict=True):
            if not exported.pop(name).equal(value):
                sys.exit(f"gsnake starts from other values of {name}")
    if exported:
        sys.exit(f"gsnake has {sorted(exported)} besides")


if __name__ == "__main__":
    main()
