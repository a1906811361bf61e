#!/usr/bin/env python3
"""Writes fixtures/nf4.bin: tensors, what bitsandbytes packs them to on the CPU, and what it reads back.

Made with bitsandbytes 0.50.2 (its CPU library for x86-64) and torch 2.11.0. Usage: make_fixtures.py [FILE]

The file, little-endian: "NF4FIX01", the dynamic map (256 fp32); how many groups of 256 numbers follow (u32), the numbers (fp32), their codes,
the groups' absmax (fp32); the number of cases (u32), then each case: the length of its name (u32), the
name; elements, blocks, groups of 256 blocks (u32 each); the tensor (fp32); codes, two a byte; the blocks' absmax (fp32) and its codes; the
offset (fp32) and the groups' absmax (fp32); the values read back, in fp32 and in bf16.
"""
import pathlib
import struct
import sys

import bitsandbytes
import bitsandbytes.functional as bnb
import torch

assert bitsandbytes.__version__ == "0.50.2", bitsandbytes.__version__


def raw(tensor):
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def case(name, values):
    values = values.to(torch.float32).contiguous()
    codes, state = bnb.quantize_4bit(values, blocksize=64, quant_type="nf4", compress_statistics=True)
    _, plain = bnb.quantize_4bit(values, blocksize=64, quant_type="nf4")  # absmax before it is quantised
    fp32 = bnb.dequantize_4bit(codes, state).reshape(-1)
    state.dtype = torch.bfloat16
    bf16 = bnb.dequantize_4bit(codes, state).reshape(-1)
    blocks, groups = state.absmax.numel(), state.state2.absmax.numel()
    assert fp32.numel() == bf16.numel() == values.numel() and fp32.dtype == torch.float32 and bf16.dtype == torch.bfloat16
    assert codes.numel() == (values.numel() + 1) // 2 and blocks == (values.numel() + 63) // 64 and groups == (blocks + 255) // 256
    parts = [values, codes, plain.absmax, state.absmax, state.offset, state.state2.absmax, fp32, bf16]
    return struct.pack("<I", len(name)) + name.encode() + struct.pack("<III", values.numel(), blocks, groups) + b"".join(map(raw, parts))


def groups():
    """Groups of 256 as the blocks' absmax are quantised in, on the points where bitsandbytes' table goes over to the next code."""
    code = bnb.create_dynamic_map().double()
    points = torch.ceil(((code[:-1] + code[1:]) / 2 + 1) * 65535 / 2)  # the first of each code but the lowest
    edges = (points - 0.5) * 2 / 65535 - 1
    one = torch.ones(1, dtype=torch.float64)
    for scale in (1.0, 0.037):
        for step in (-4, -1, 0, 1, 4):
            yield (torch.cat([one, edges + step * 2.0**-24]) * scale).float()
    yield torch.randn(256)
    yield torch.zeros(256)
    yield torch.tensor([0.0, 1e-39, -1e-39, 2e-40]).repeat(64)  # a reciprocal that is infinite


def cases():
    torch.manual_seed(20261129)
    normal = torch.randn(64 * 258 + 37) * 0.02  # more than one group of blocks
    yield "normal", normal
    yield "uniform", torch.rand(64 * 9) * 2 - 1
    yield "heavy tails", torch.distributions.StudentT(2.0).sample((64 * 8 + 63,))
    for elements in (1, 2, 31, 63, 64, 65, 127, 128):
        yield f"{elements} elements", torch.randn(elements)
    with_zeros = torch.randn(64 * 6 + 5)
    with_zeros[64:192] = 0.0
    with_zeros[200:230] = -0.0
    yield "zero blocks", with_zeros
    yield "a zero rest", torch.cat([torch.randn(64), torch.zeros(3)])
    yield "only zeros", torch.zeros(64 * 2 + 7)
    huge = torch.randn(64 * 5) * 1e-3
    huge[64:128] *= 1e9
    yield "a huge block", huge
    yield "tiny", torch.randn(64 * 4 + 9) * 1e-39
    yield "equal blocks", torch.randn(64).repeat(6)
    # Where one code ends and the next begins, and the floats on both sides.
    edges = (bnb.get_4bit_type("nf4", device="cpu")[:-1] + bnb.get_4bit_type("nf4", device="cpu")[1:]) / 2
    below, above = torch.nextafter(edges, torch.tensor(-2.0)), torch.nextafter(edges, torch.tensor(2.0))
    block = torch.cat([torch.tensor([1.0]), edges, below, above, torch.zeros(18)])
    yield "edges of codes", torch.cat([block, block * 3.0, block[:46] * 0.7])
    # Products with a reciprocal, and in the rest quotients, that come out on the one side or the other.
    yield "rounded edges", torch.cat([block * scale for scale in torch.rand(16)] + [block[:63] * 0.3])
    for seventh in range(4):
        yield f"rounded edges of a rest of {seventh + 1} sevenths", block[:46] * ((seventh + 1) / 7)


def main():
    path = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "fixtures" / "nf4.bin"
    packed = [case(name, values) for name, values in cases()]
    numbers = torch.cat(list(groups()))
    codes, state = bnb.quantize_blockwise(numbers, blocksize=256)
    header = b"NF4FIX01" + raw(bnb.create_dynamic_map()) + struct.pack("<I", state.absmax.numel()) + b"".join(map(raw, [numbers, codes, state.absmax]))
    path.write_bytes(header + struct.pack("<I", len(packed)) + b"".join(packed))
    print(f"{path}: {len(packed)} cases, {path.stat().st_size} bytes")


main()
