"""What setup makes of a GGUF file: numbers worked out by hand, and a model of two heads whose file is written here."""
import json
import pathlib
import struct
import tempfile
import unittest

import numpy

import convert
import gguf

TEXT, ARRAY, U32, F32 = 8, 9, 4, 6


def text(value):
    return struct.pack("<Q", len(value.encode())) + value.encode()


def value(kind, content):
    if kind == TEXT:
        return text(content)
    return struct.pack({U32: "<I", F32: "<f"}[kind], content)


def array(kind, contents):
    return struct.pack("<IQ", kind, len(contents)) + b"".join(value(kind, content) for content in contents)


def entry(key, content):
    """A pair of the metadata."""
    if isinstance(content, list):
        return text(key) + struct.pack("<I", ARRAY) + array(TEXT if isinstance(content[0], str) else U32, content)
    kind = TEXT if isinstance(content, str) else F32 if isinstance(content, float) else U32
    return text(key) + struct.pack("<I", kind) + value(kind, content)


def write_gguf(path, metadata, tensors):
    """tensors: name, sizes (the longest stride first), type, bytes."""
    out = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata)) + b"".join(entry(*pair) for pair in metadata.items())
    data = b""
    for name, sizes, kind, content in tensors:
        out += text(name) + struct.pack("<I", len(sizes)) + struct.pack(f"<{len(sizes)}Q", *sizes[::-1]) + struct.pack("<IQ", kind, len(data))
        data += content + b"\0" * (-len(content) % 32)
    path.write_bytes(out + b"\0" * (-len(out) % 32) + data)


METADATA = {"llama.block_count": 1, "llama.context_length": 64, "llama.embedding_length": 32, "llama.feed_forward_length": 32, "llama.attention.head_count": 2,
            "llama.attention.head_count_kv": 1, "llama.rope.freq_base": 100000.0, "llama.attention.layer_norm_rms_epsilon": 1e-5, "llama.vocab_size": 3,
            "llama.rope.dimension_count": 4, "tokenizer.ggml.tokens": ["<end>", "a", "b"], "tokenizer.ggml.token_type": [3, 1, 1], "tokenizer.ggml.merges": ["a b"],
            "tokenizer.ggml.bos_token_id": 0, "tokenizer.ggml.eos_token_id": 0, "tokenizer.ggml.unknown_token_id": 0, "tokenizer.ggml.padding_token_id": 0,
            "tokenizer.chat_template": "{{ messages }}"}


class Blocks(unittest.TestCase):
    def test_q4_1_has_its_first_half_in_the_low_nibbles(self):
        nibbles = bytes((i % 16) | ((15 - i) % 16) << 4 for i in range(16))
        block = numpy.frombuffer(numpy.array([0.5, -2.0], "<f2").tobytes() + nibbles, numpy.uint8)
        expected = [0.5 * i - 2 for i in range(16)] + [0.5 * (15 - i) - 2 for i in range(16)]
        self.assertEqual(gguf.from_q4_1(block).tolist(), expected)

    def test_q8_0_is_signed(self):
        q = numpy.arange(-16, 16, dtype="i1") * 8
        block = numpy.frombuffer(numpy.array([0.25], "<f2").tobytes() + q.tobytes(), numpy.uint8)
        self.assertEqual(gguf.from_q8_0(block).tolist(), [0.25 * 8 * i for i in range(-16, 16)])

    def test_each_block_has_its_own_scale(self):
        block = numpy.frombuffer(b"".join(numpy.array([d], "<f2").tobytes() + b"\1" * 32 for d in (1.0, 3.0)), numpy.uint8)
        self.assertEqual(gguf.from_q8_0(block).tolist(), [1.0] * 32 + [3.0] * 32)


class Values(unittest.TestCase):
    def test_bf16_is_rounded_to_nearest_and_ties_to_even(self):
        bits = numpy.array([0x3F800000, 0x3F808000, 0x3F808001, 0x3F818000, 0xBF807FFF], "<u4")
        self.assertEqual(convert.bf16(bits.view("<f4")).tolist(), [0x3F80, 0x3F80, 0x3F81, 0x3F82, 0xBF80])

    def test_rows_that_are_turned_together_are_half_a_head_apart(self):
        # Two heads of four rows: (0, 1), (2, 3) are pairs in GGUF.
        rows = numpy.arange(8, dtype=numpy.float32)[:, None]
        self.assertEqual(convert.halves(rows, 2).ravel().tolist(), [0, 2, 1, 3, 4, 6, 5, 7])

    def test_names_are_hugging_faces(self):
        self.assertEqual(convert.name_of("token_embd.weight"), "model.embed_tokens.weight")
        self.assertEqual(convert.name_of("output_norm.weight"), "model.norm.weight")
        self.assertEqual(convert.name_of("blk.12.ffn_norm.weight"), "model.layers.12.post_attention_layernorm.weight")
        with self.assertRaises(KeyError):
            convert.name_of("blk.0.attn_sinks.weight")


class Files(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def file(self, tensors, metadata=METADATA):
        write_gguf(self.folder / "a.gguf", metadata, tensors)
        return gguf.File(self.folder / "a.gguf")

    def test_a_folder_has_the_models_shape_tokenizer_and_weights(self):
        norm = numpy.linspace(-1, 1, 32, dtype="<f4")
        matrix = numpy.arange(8 * 32, dtype="<f4").reshape(8, 32)
        convert.write_folder(self.file([("output_norm.weight", [32], 0, norm.tobytes()), ("blk.0.attn_q.weight", [8, 32], 0, matrix.tobytes())]), self.folder)

        config = json.loads((self.folder / "config.json").read_text())
        self.assertEqual((config["rms_norm_eps"], config["rope_theta"], config["num_key_value_heads"], config["tie_word_embeddings"]), (1e-5, 1e5, 1, True))
        tokenizer = json.loads((self.folder / "tokenizer.json").read_text())
        self.assertEqual(tokenizer["model"]["vocab"], {"<end>": 0, "a": 1, "b": 2})
        self.assertEqual([token["content"] for token in tokenizer["added_tokens"]], ["<end>"])
        self.assertEqual(json.loads((self.folder / "tokenizer_config.json").read_text())["chat_template"], "{{ messages }}")

        content = (self.folder / "model.safetensors").read_bytes()
        length, = struct.unpack("<Q", content[:8])
        header, data = json.loads(content[8:8 + length]), content[8 + length:]
        self.assertEqual(length % 8, 0)
        for name, expected in (("model.norm.weight", norm), ("model.layers.0.self_attn.q_proj.weight", matrix[[0, 2, 1, 3, 4, 6, 5, 7]])):
            begin, end = header[name]["data_offsets"]
            self.assertEqual(header[name]["shape"], list(expected.shape))
            self.assertEqual(data[begin:end], convert.bf16(expected).tobytes())
        self.assertEqual(sum(end - begin for begin, end in (entry["data_offsets"] for name, entry in header.items() if name != "__metadata__")), len(data))

    def test_a_head_of_its_own_is_not_tied(self):
        self.assertFalse(convert.config_of(self.file([("output.weight", [1], 0, b"\0" * 4)]))["tie_word_embeddings"])

    def test_what_is_not_read_is_refused(self):
        with self.assertRaisesRegex(ValueError, "type 2,"):
            self.file([("output.weight", [32], 2, b"\0" * 18)]).tensor("output.weight")
        (self.folder / "b.gguf").write_bytes(b"GGML" + b"\0" * 20)
        with self.assertRaisesRegex(ValueError, "no GGUF file"):
            gguf.File(self.folder / "b.gguf")

    def test_a_header_that_is_cut_short_is_refused(self):
        whole = self.file([])._map[:]
        (self.folder / "c.gguf").write_bytes(whole[:100])
        with self.assertRaisesRegex(ValueError, "ends within its header"):
            gguf.File(self.folder / "c.gguf")


if __name__ == "__main__":
    unittest.main()
