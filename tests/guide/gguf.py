"""GGUF files (version 3, little-endian): their metadata, and their tensors as fp32, of the types F32, Q4_1 and Q8_0."""
import math
import mmap
import struct

import numpy

MAGIC, VERSION = b"GGUF", 3
SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
TEXT, ARRAY = 8, 9

# Blocks of 32 elements. Q4_1: d q + m, the first half of the elements in the bytes' low nibbles, the second in the high ones. Q8_0: d q.
BLOCK = 32
Q4_1 = numpy.dtype([("d", "<f2"), ("m", "<f2"), ("q", "u1", BLOCK // 2)])
Q8_0 = numpy.dtype([("d", "<f2"), ("q", "i1", BLOCK)])


def from_f32(data):
    return data.view("<f4")


def from_q4_1(data):
    blocks = data.view(Q4_1)
    q = numpy.concatenate([blocks["q"] & 15, blocks["q"] >> 4], axis=1).astype(numpy.float32)
    return (q * blocks["d"][:, None].astype(numpy.float32) + blocks["m"][:, None].astype(numpy.float32)).ravel()


def from_q8_0(data):
    blocks = data.view(Q8_0)
    return (blocks["q"].astype(numpy.float32) * blocks["d"][:, None].astype(numpy.float32)).ravel()


# By the number that a tensor's type has: elements and bytes of a block, and what reads whole blocks.
TYPES = {0: (1, 4, from_f32), 3: (BLOCK, Q4_1.itemsize, from_q4_1), 8: (BLOCK, Q8_0.itemsize, from_q8_0)}


class File:
    """metadata: by key; names: of all tensors; sizes and tensor of one, the longest stride first."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._at = 0
        magic, version = self._take(4), self._number("<I")
        if magic != MAGIC or version != VERSION:
            raise ValueError(f"{path}: no GGUF file of version {VERSION}")
        tensors, keys = self._number("<Q"), self._number("<Q")
        self.metadata = {}
        for _ in range(keys):
            key = self._text()
            self.metadata[key] = self._value(self._number("<I"))
        self._tensors = {}
        for _ in range(tensors):
            name = self._text()
            sizes = [self._number("<Q") for _ in range(self._number("<I"))]
            self._tensors[name] = (sizes[::-1], self._number("<I"), self._number("<Q"))
        alignment = self.metadata.get("general.alignment", 32)
        self._data = -(-self._at // alignment) * alignment

    @property
    def names(self):
        return set(self._tensors)

    def sizes(self, name):
        return self._tensors[name][0]

    def tensor(self, name):
        sizes, kind, offset = self._tensors[name]
        if kind not in TYPES:
            raise ValueError(f"{name} has GGUF's type {kind}, and only {sorted(TYPES)} are read")
        elements, size, read = TYPES[kind]
        count = math.prod(sizes) // elements * size
        return read(numpy.frombuffer(self._map, numpy.uint8, count, self._data + offset)).reshape(sizes)

    def _take(self, count):
        part = self._map[self._at:self._at + count]
        if len(part) != count:
            raise ValueError("the GGUF file ends within its header")
        self._at += count
        return part

    def _number(self, form):
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _text(self):
        return self._take(self._number("<Q")).decode()

    def _value(self, kind):
        if kind == TEXT:
            return self._text()
        if kind == ARRAY:
            kind, count = self._number("<I"), self._number("<Q")
            return [self._value(kind) for _ in range(count)]
        if kind not in SCALARS:
            raise ValueError(f"GGUF's type of value {kind} is none of {sorted([*SCALARS, TEXT, ARRAY])}")
        return self._number(SCALARS[kind])
