"""Files of text into files of tokens."""
import array
import json

from tokenize_text import encode, inputs, outputs
from tokenize_text.errors import Refusal
from tokenize_text.progress import size_text

LARGE = 1 << 24  # bytes in one call that are worth a word
BYTES_EACH = 230  # memory for a byte of text in one call: 128 to 226 measured, by tokenizer


def with_separator(ids, separator):
    """One separator behind a text, which may have it already."""
    if separator and (not ids or ids[-1] != separator[0]):
        ids.extend(separator)
    return ids


def documents(encoded, writer, separator, progress):
    last = None
    for piece, ids in encoded:
        last = ids[-1] if ids else last
        writer.add(ids)
        if piece.ends:
            if separator and writer.size and last != separator[0]:
                writer.add(array.array(writer.type, separator))
            writer.end_document()
            last = None
        progress.show(piece.read)


def examples(path, encoded, output, separator, progress):
    texts, count = {key: [] for key in inputs.EXAMPLES}, 0
    for piece, ids in encoded:
        texts[piece.key].extend(ids)
        if piece.key == "completion" and piece.ends:
            prompt, completion = texts["prompt"], with_separator(texts["completion"], separator)
            if not completion:
                raise Refusal(f'{path}, line {piece.line}: its "completion" has no token, so that none of it counts; leave the line out, or give --separator')
            example = {"tokens": prompt + completion, "mask": [0] * len(prompt) + [1] * len(completion)}
            output.write(json.dumps(example, separators=(",", ":")).encode() + b"\n")
            texts, count = {key: [] for key in inputs.EXAMPLES}, count + 1
        progress.show(piece.read)
    return count


class Converter:
    """Turns files into tokens: `separator` is a list of an id, or none; `signals` ends it in between."""

    def __init__(self, tokenizer, cutter, separator, signals):
        self.tokenizer, self.cutter, self.separator, self.signals = tokenizer, cutter, separator, signals
        self.vocab = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=0) + 1  # ids may have gaps

    def check(self, paths, progress):
        sources = []
        for path in paths:
            sources.append(inputs.check(path, self.cutter, encode.PIECE, self.separator, progress))
            progress.end_file(sources[-1].bytes)
        outputs.check_outputs(sources)
        return sources

    def memory_line(self, source):
        """What to know before a text that cannot be cut is one call; nothing for others."""
        if source.largest <= LARGE:
            return None
        why = "has no place where this tokenizer surely cuts" if self.cutter.rules else "cannot be cut with this tokenizer"
        return (f"{source.path}: {size_text(source.largest)} of its text {why}, and must be one call of the library, which takes up to "
                f"{size_text(source.largest * BYTES_EACH)} of memory")

    def convert(self, source, progress):
        """What has been written, as a line."""
        names = outputs.outputs_of(source.path, source.form)
        pieces = inputs.pieces(source.path, self.cutter, encode.PIECE, source.form)
        encoded = encode.encode(self.tokenizer, pieces, "H" if self.vocab <= 1 << 16 else "i", progress.wake)
        if source.form == inputs.DOCUMENTS:
            writer = outputs.MegatronWriter(names, self.vocab)
            documents(encoded, writer, self.separator, progress)
            return writer.close(self.signals)
        output = outputs.Output(names[0])
        count = examples(source.path, encoded, output, self.separator, progress)
        output.finish()
        with self.signals.held():
            output.appear()
        return f"{names[0]}: {count} examples"
