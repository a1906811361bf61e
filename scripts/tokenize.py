"""Turns text into token files; scripts/tokenize runs it in the environment that it needs.

  tokenize --tokenizer T FILE.txt...                     FILE.bin and FILE.idx: Megatron, a document a file
  tokenize --tokenizer T FILE.jsonl...                   lines {"text": ...}: FILE.bin and FILE.idx, a document a line;
                                                         {"prompt": ..., "completion": ...}: FILE.tokens.jsonl, completions counted
  tokenize --tokenizer T --text "some text"              its ids, for gsnake generate --prompt-tokens
  tokenize --tokenizer T --decode 1,2,3                  the text of ids
"""
import argparse
import array
import json
import os
import struct
import sys

from tokenizers import Tokenizer

PIECE = 1 << 20  # characters of text that are encoded at once, up to a line's end
BATCH = 512  # lines


def fail(message):
    sys.exit(f"tokenize: {message}")


def largest_id(tokenizer):
    """Ids may have gaps: there can be fewer tokens than the largest id says."""
    return max(tokenizer.get_vocab(with_added_tokens=True).values())


class MegatronWriter:
    """NAME.bin and NAME.idx, written as the documents come. Both appear when they are whole."""

    def __init__(self, name, vocab):
        self.name, self.code, self.type = name, *((8, "H") if vocab <= 1 << 16 else (4, "i"))
        self.bin = open(name + ".bin.partial", "wb")
        self.sizes, self.size = array.array("i"), 0

    def add(self, ids):
        tokens = array.array(self.type, ids)
        if sys.byteorder == "big":
            tokens.byteswap()
        tokens.tofile(self.bin)
        self.size += len(tokens)

    def end_document(self):
        if self.size >= 1 << 31:
            fail(f"{self.name}: a document of {self.size} tokens is more than Megatron's index can tell; split the file")
        self.sizes.append(self.size)
        self.size = 0

    def close(self):
        self.bin.close()
        width, count = array.array(self.type).itemsize, len(self.sizes)
        with open(self.name + ".idx.partial", "wb") as index:
            index.write(b"MMIDIDX\x00\x00" + struct.pack("<QBQQ", 1, self.code, count, count + 1))
            index.write(struct.pack(f"<{count}i", *self.sizes))
            offset = 0
            for size in self.sizes:
                index.write(struct.pack("<q", offset))
                offset += size * width
            index.write(struct.pack(f"<{count + 1}q", *range(count + 1)))
        for kind in (".bin", ".idx"):
            os.replace(self.name + kind + ".partial", self.name + kind)
        print(f"{self.name}.bin: {offset // width} tokens in {count} documents")


def pieces(file):
    while True:
        text = file.read(PIECE)
        if not text:
            return
        yield text + file.readline()


def ids_of(tokenizer, texts):
    return [encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]


def convert_text(tokenizer, path, separator):
    with open(path, encoding="utf-8", newline="") as file:
        writer = MegatronWriter(os.path.splitext(path)[0], largest_id(tokenizer) + 1)
        for text in pieces(file):
            writer.add(ids_of(tokenizer, [text])[0])
    writer.add(separator)
    writer.end_document()
    writer.close()


def batches(path):
    lines = []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                lines.append(json.loads(line))
            except json.JSONDecodeError as error:
                fail(f"{path}, line {number}: {error}")
            if len(lines) == BATCH:
                yield lines
                lines = []
    if lines:
        yield lines


def convert_documents(tokenizer, path, separator):
    writer = MegatronWriter(os.path.splitext(path)[0], largest_id(tokenizer) + 1)
    for lines in batches(path):
        for ids in ids_of(tokenizer, [line["text"] for line in lines]):
            writer.add(ids + separator)
            writer.end_document()
    writer.close()


def convert_examples(tokenizer, path, separator):
    target = os.path.splitext(path)[0] + ".tokens.jsonl"
    count = 0
    with open(target + ".partial", "w", encoding="ascii") as out:
        for lines in batches(path):
            prompts = ids_of(tokenizer, [line["prompt"] for line in lines])
            completions = ids_of(tokenizer, [line["completion"] for line in lines])
            for prompt, completion in zip(prompts, completions):
                completion = completion + separator
                json.dump({"tokens": prompt + completion, "mask": [0] * len(prompt) + [1] * len(completion)}, out, separators=(",", ":"))
                out.write("\n")
                count += 1
    os.replace(target + ".partial", target)
    print(f"{target}: {count} examples")


def convert(tokenizer, path, separator):
    if not path.endswith(".jsonl"):
        return convert_text(tokenizer, path, separator)
    first = next(batches(path), [{}])[0]
    if "text" in first:
        return convert_documents(tokenizer, path, separator)
    if "prompt" in first and "completion" in first:
        return convert_examples(tokenizer, path, separator)
    fail(f'{path}: its first line has neither "text" nor "prompt" and "completion"')


def main():
    parser = argparse.ArgumentParser(prog="tokenize", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", required=True, help="a tokenizer.json of Hugging Face's")
    parser.add_argument("--separator", metavar="TOKEN", help="token that ends each document and completion, such as <|endoftext|>")
    parser.add_argument("--text", help="print the ids of this text")
    parser.add_argument("--decode", metavar="IDS", help="print the text of these ids")
    parser.add_argument("files", nargs="*")
    arguments = parser.parse_args()
    try:
        tokenizer = Tokenizer.from_file(arguments.tokenizer)
    except Exception as error:  # the library throws nothing more particular
        fail(f"cannot use the tokenizer {arguments.tokenizer}: {error}")
    separator = []
    if arguments.separator is not None:
        separator = [tokenizer.token_to_id(arguments.separator)]
        if separator[0] is None:
            fail(f"--separator {arguments.separator}: {arguments.tokenizer} has no such token")
    if arguments.text is not None:
        print(",".join(map(str, tokenizer.encode(arguments.text).ids)))
    elif arguments.decode is not None:
        print(tokenizer.decode([int(id) for id in arguments.decode.split(",")], skip_special_tokens=False))
    elif not arguments.files:
        parser.error("name files, or give --text or --decode")
    try:
        for path in arguments.files:
            convert(tokenizer, path, separator)
    except (OSError, UnicodeDecodeError, KeyError, TypeError) as error:
        fail(f"{path}: {error}")


if __name__ == "__main__":
    main()
