"""compare.py ENCODE_TEXTS [TEXTS]: random texts through tokenizers of every kind that gsnake reads, beside the library: equal ids."""
import itertools
import json
import pathlib
import subprocess
import sys
import tempfile

from tokenizers import Tokenizer

import random_texts

GPT4 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"  # Qwen 2's
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
FORMS = [None, "NFC", "NFD", "NFKC", "NFKD"]


def byte_level(prefix=False, regex=True):
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": regex}


def split(expression):
    return {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": expression}, "behavior": "Isolated", "invert": False}, byte_level(regex=False)]}


def metaspace(scheme, splits=True):
    return {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": scheme, "split": splits}


CUTS = {
    "gpt2": [byte_level(), byte_level(prefix=True), split(GPT4), split(O200K),
             {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level()]},
             {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": False}, byte_level(regex=False)]}],
    "unigram": [metaspace("always"), metaspace("first"), metaspace("never"), metaspace("always", False),
                {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, metaspace("always")]},
                {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, metaspace("first")]},
                {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"String": "a"}, "behavior": "Isolated", "invert": False}, metaspace("first", False)]}],
}


def added(kind, size):
    """Tokens of both kinds; some whose content the normalizer changes, and some that begin alike."""
    contents = [("\ufb01n", True), ("\u212bng", True), ("\u03a9", True), ("e\u0301", True), ("the", kind), ("the earth", True), ("<|end|><|end|>", False), ("\u33cf", False), ("K\u00b5", True)]
    return [{"id": size + i, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": normalized, "special": i % 2 == 0}
            for i, (content, normalized) in enumerate(contents)]


def variants():
    for name, cuts in CUTS.items():
        plain = json.loads((random_texts.FIXTURES / f"{name}.json").read_text())
        size = 1 + max([token["id"] for token in plain["added_tokens"]] + (list(plain["model"]["vocab"].values()) if name == "gpt2" else [len(plain["model"]["vocab"])]))
        for cut, form, more in itertools.product(cuts, FORMS, (None, True, False)):
            tokens = plain["added_tokens"] + (added(more, size) if more is not None else [])
            yield f"{name} {json.dumps(cut)[:90]} {form} {more}", {**plain, "pre_tokenizer": cut, "normalizer": {"type": form} if form else None, "added_tokens": tokens}


def main(encode_texts, count):
    texts = random_texts.texts(7, count)
    failed = compared = 0
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "tokenizer.json"
        for name, tokenizer in variants():
            path.write_text(json.dumps(tokenizer))
            library = Tokenizer.from_file(str(path))
            result = subprocess.run([encode_texts, str(path)], input=json.dumps(texts), capture_output=True, text=True)
            if result.returncode != 0:
                raise SystemExit(f"{name}: {result.stderr}")
            for text, found in zip(texts, json.loads(result.stdout), strict=True):
                expected = library.encode(text).ids
                compared += 1
                if found != expected:
                    failed += 1
                    if failed <= 20:
                        print(f"FAILED {name}: {text!r}: {found}, the library gives {expected}")
    print(f"{compared} texts compared, {failed} differ")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 60))
