"""Files of text into files of tokens."""
import array
import json

from tokenizers import Tokenizer

from tokenize_text import encode, inputs, outputs
from tokenize_text.errors import Refusal
from tokenize_text.lines import LAST, PAIRS
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


def counted_end(ids, mask):
    """Up to the last that counts: what a template writes behind an answer is no part of it."""
    return ids[:len(mask) - mask[::-1].index(1)] if 1 in mask else []


def line_of(texts, masks, separator):
    """What gsnake reads of an example's texts, by their keys; None where none of its answer's tokens counts."""
    if "chosen" in texts:
        answers = [texts["chosen"], texts["rejected"]]
        if "prompt" in texts:
            prompt, answers = texts["prompt"], [with_separator(answer, separator) for answer in answers]
        else:  # each begins with the prompt, as far as its mask says; where a token lies across the prompt's end, it is the answer's
            sizes = [mask.index(1) if 1 in mask else len(mask) for mask in (masks["chosen"], masks["rejected"])]
            size = next((i for i in range(min(sizes)) if answers[0][i] != answers[1][i]), min(sizes))
            prompt, answers = answers[0][:size], [counted_end(texts[key], masks[key])[size:] for key in ("chosen", "rejected")]
        return {"prompt": prompt, "chosen": answers[0], "rejected": answers[1]} if prompt and all(answers) else None
    if "messages" in texts:
        return {"tokens": texts["messages"], "mask": masks["messages"]} if 1 in masks["messages"] else None
    prompt, completion = texts["prompt"], with_separator(texts["completion"], separator)
    return {"tokens": prompt + completion, "mask": [0] * len(prompt) + [1] * len(completion)} if completion else None


def examples(path, encoded, output, separator, progress):
    texts, masks, count = {}, {}, 0
    for piece, ids in encoded:
        texts.setdefault(piece.key, []).extend(ids)
        masks[piece.key] = piece.mask
        if piece.key in LAST and piece.ends:
            example = line_of(texts, masks, separator)
            if example is None:
                what = "prompt or one of its answers" if "chosen" in texts else f'"{piece.key}"'
                raise Refusal(f"{path}, line {piece.line}: its {what} has no token, so that none of it counts; leave the line out, or give --separator")
            output.write(json.dumps(example, separators=(",", ":")).encode() + b"\n")
            texts, masks, count = {}, {}, count + 1
        progress.show(piece.read)
    return count


def untrimmed(tokenizer):
    """The same ids, each with the place of its whole text: what comes last in the library may leave a word's space out of it."""
    parts = json.loads(tokenizer.to_str())
    parts["post_processor"] = None
    return Tokenizer.from_str(json.dumps(parts))


class Converter:
    """Turns files into tokens: `separator` is a list of an id, or none; `signals` ends it in between. `model` (templates.Model) says what lies beside the
    tokenizer; `form`, of which kind all lines are."""

    def __init__(self, tokenizer, cutter, separator, signals, model=None, form=None):
        self.tokenizer, self.cutter, self.separator, self.signals, self.form = tokenizer, cutter, separator, signals, form
        self.model, self.compiled = model, None
        self.vocab = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=0) + 1  # ids may have gaps
        self.ending = separator or self._end_of_text()

    def _end_of_text(self):
        """What ends an answer where nobody has said: the model's own eos_token, if it has one."""
        end = self.tokenizer.token_to_id(self.model.special_tokens().get("eos_token", "")) if self.model else None
        return [] if end is None else [end]

    def template(self):
        if self.compiled is None:
            ends = [token.content for token in self.tokenizer.get_added_tokens_decoder().values() if token.special]
            self.compiled = self.model.template(ends)
        return self.compiled

    def check(self, paths, progress):
        sources = []
        for path in paths:
            sources.append(inputs.check(path, self.cutter, encode.PIECE, self.ending, progress, self.form, self.template))
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
        pieces = inputs.pieces(source.path, self.cutter, encode.PIECE, source.form, self.template)
        tokenizer = self.tokenizer if source.form == inputs.DOCUMENTS else untrimmed(self.tokenizer)
        encoded = encode.encode(tokenizer, pieces, "H" if self.vocab <= 1 << 16 else "i", progress.wake)
        if source.form == inputs.DOCUMENTS:
            writer = outputs.MegatronWriter(names, self.vocab)
            documents(encoded, writer, self.separator, progress)
            return writer.close(self.signals)
        output = outputs.Output(names[0])
        count = examples(source.path, encoded, output, self.ending, progress)
        output.finish()
        with self.signals.held():
            output.appear()
        return f"{names[0]}: {count} {'pairs' if source.form == PAIRS else 'examples'}"
