"""Texts of everything that Unicode has, drawn with a seed. Run as a script, it writes ../fixtures/random.cases.json with the library's ids."""
import json
import pathlib
import random
import unicodedata

FIXTURES = pathlib.Path(__file__).parents[1] / "fixtures"
WORDS = ["the", "earth", "God", "said", "beginning", "<|begin|>", "<|end|>", "<|begin", "|>", "'s", "'LL", "'ve", "'\u017f", "I'm", "na\u00efve", "\ufb01n", "fin", "\u2126hm", "\u03a9hm",
         "stra\u00dfe", "\u212bngstr\u00f6m", "\u00c5ngstr\u00f6m", "A\u030angstro\u0308m", "\u039f\u0394\u039f\u03a3", "\u0439", "\u0438\u0306", "\u1112\u1161\u11ab", "\ud55c\uae00", "\u2460\u00bd\u00b2", "\u33cf", "1234567", "\u0661\u0662\u0663",
         "\u2167", "\u212a\u00b5", "\U0001f469\u200d\U0001f52c", "\U0001f1e9\U0001f1ea", "\u0915\u094d\u0937", "\u0e44\u0e17\u0e22", "...", "---", "\u2581", "\u2581\u2581a"]
SPACES = [" ", "  ", "   ", "\n", "\r\n", "\n\n", "\t", "\x0b", "\x0c", "\x1c", "\x85", "\xa0", "\u2003", "\u2028", "\u3000", "\u200b", "\ufeff", " \n ", "\n \n"]
OLD = unicodedata.ucd_3_2_0
ASSIGNED = [c for c in map(chr, range(0x110000)) if unicodedata.category(c) == OLD.category(c) and unicodedata.category(c) not in ("Cn", "Cs", "Co")]
OF_CATEGORY = {}
for _character in ASSIGNED:
    OF_CATEGORY.setdefault(unicodedata.category(_character), []).append(_character)


def text(draw, most=24):
    parts = []
    for _ in range(draw.randint(0, most)):
        kind = draw.random()
        if kind < 0.35:
            parts.append(draw.choice(WORDS))
        elif kind < 0.6:
            parts.append(draw.choice(SPACES))
        elif kind < 0.75:
            parts.append("".join(chr(draw.randint(33, 126)) for _ in range(draw.randint(1, 4))))
        else:  # every category as often as another
            parts.append("".join(draw.choice(OF_CATEGORY[draw.choice(sorted(OF_CATEGORY))]) for _ in range(draw.randint(1, 3))))
    return "".join(parts)


def texts(seed, count, most=24):
    draw = random.Random(seed)
    return [text(draw, most) for _ in range(count)]


if __name__ == "__main__":
    from tokenizers import Tokenizer
    drawn = texts(1, 40, 12)
    ids = {name: [Tokenizer.from_file(str(FIXTURES / f"{name}.json")).encode(one).ids for one in drawn] for name in ("gpt2", "llama3", "qwen2", "normalized", "unigram")}
    (FIXTURES / "random.cases.json").write_text(json.dumps({"texts": drawn, "ids": ids}) + "\n")
