"""Where a text may be cut so that the ids of its pieces are the ids of the whole.

A cut lies between two characters of known classes. Each part of the tokenizer.json says at which of them (RULES) it works on both sides as it
would on the whole; at one that remains, some part must also divide the text. A part that is not known here leaves none: then a text is one
call. Classes are of characters that have been letters or digits since Unicode 3.2, so that Python and the library agree on them.
"""
import base64
import re
import unicodedata

from tokenizers import normalizers

SPACE = "letter or digit | space"
LINE = "letter or digit | line end"
AFTER_LINE = "line feed | letter or digit"
ANY_LINE = "not a space | line end"
RULES = frozenset((SPACE, LINE, AFTER_LINE, ANY_LINE))
NONE = frozenset()

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_END = r" ?[^\s\p{L}\p{N}]+[\r\n%s]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"


def _o200k(after_word, digits):
    first = r"[^\r\n\p{L}\p{N}]?"
    return f"{first}{_UPPER}*{_LOWER}+{after_word}|{first}{_UPPER}+{_LOWER}*{after_word}|{digits}|" + _END % "/"


# No alternative of these goes on with white space behind a letter or digit, or, but for GPT-2's, with anything else behind a line feed; and
# what the last white space before a cut becomes does not depend on what follows (in GPT-2's it does: \s+(?!\S) at a text's end).
_WORDS_AND_LINES = frozenset((SPACE, LINE, AFTER_LINE))
SPLITS = {
    GPT2: frozenset((SPACE, LINE, ANY_LINE)),
    # cl100k, Llama 3; Qwen 2; o200k; Mistral's Tekken; DeepSeek V3; BLOOM.
    **{f"{contractions}|[^\\r\\n\\p{{L}}\\p{{N}}]?\\p{{L}}+|{digits}|" + _END % "": _WORDS_AND_LINES
       for contractions in (_CONTRACTIONS, "'(?i:[sdmt]|ll|ve|re)") for digits in (r"\p{N}", r"\p{N}{1,3}", r"\p{N}+")},
    **{_o200k(after_word, digits): _WORDS_AND_LINES for after_word in ("", _CONTRACTIONS + "?") for digits in (r"\p{N}", r"\p{N}{1,3}")},
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+""":
        _WORDS_AND_LINES,
    r" ?[^(\s|[.,!?…。，、।۔،])]+": frozenset((SPACE, LINE)),
}
# These match letters or digits alone: nothing that reaches over a cut, though they need not divide there.
CLASSES = (r"\p{N}", r"\p{N}+", r"\p{N}{1,3}", r"\d", r"\d+", r"\d{1,3}", "[0-9]", "[0-9]+", "[0-9][0-9][0-9]", "[一-龥぀-ゟ゠-ヿ]+")


def _is_word(character):
    if character.isascii():
        return character.isalnum()
    return unicodedata.category(character)[0] in "LN" and unicodedata.ucd_3_2_0.category(character)[0] in "LN"


class Cutter:
    """Finds the places. `rules` is empty where none is known."""

    def __init__(self, tokenizer, json):
        self.rules = RULES
        self.divided = NONE  # the rules at which a pre-tokenizer divides
        self.spaces = {" "}  # what a space may have become
        self.images = []  # what normalizers make of a character that stands alone
        self.ascii = False  # only letters and digits of ASCII are known to stay
        self.prepended = None  # what a normalizer puts before a text
        self.forbidden = ""  # characters that a token goes on from into a space
        for part in _parts(json["normalizer"], "normalizers"):
            self._normalizer(part)
        if self.prepended is not None:
            # The space before a piece is left out: what is put in its place is the same.
            self._keep({SPACE} if self.spaces == {self.prepended} else NONE)
        normalized_spaces = self.spaces
        for part in _parts(json["pre_tokenizer"], "pretokenizers"):
            self._pre_tokenizer(part)
        self._model(json["model"])
        for part in _parts(json["post_processor"], "processors"):
            self._post_processor(part)
        for token in json["added_tokens"]:
            self._added_token(tokenizer, token, normalized_spaces)

    def _keep(self, rules):
        self.rules = self.rules & rules

    def _normalizer(self, part):
        kind = part["type"]
        if kind in ("NFC", "NFD", "NFKC", "NFKD"):
            self.images.append(lambda text: unicodedata.normalize(kind, text))
        elif kind == "Lowercase":
            self.images.append(str.lower)
        elif kind == "StripAccents":
            self.images.append(lambda text: "".join(c for c in text if unicodedata.category(c) != "Mn"))
            self._keep({SPACE, LINE, AFTER_LINE})
        elif kind in ("BertNormalizer", "Nmt") or (kind == "Precompiled" and _keeps_ascii(part)):
            self.ascii = True
            self._keep({SPACE})
        elif kind == "Strip":
            self._keep({AFTER_LINE} if part["strip_left"] else RULES)
            self._keep({SPACE, LINE, ANY_LINE} if part["strip_right"] else RULES)
        elif kind == "Prepend" and self.prepended is None:
            self.prepended = part["prepend"]
        elif kind == "Replace":
            self._replace(part)
        else:
            self._keep(NONE)

    def _replace(self, part):
        literal, to = part["pattern"].get("String"), part["content"]
        harmless = to == "▁" or (len(to) == 1 and to.isascii())
        if literal == " " and harmless:
            self.spaces = {to}
        elif part["pattern"].get("Regex") == " {2,}" and harmless:
            self.spaces = self.spaces | {to}
        elif literal and not any(c.isalnum() or c.isspace() or c in self.spaces for c in literal):
            self._keep({SPACE, LINE, AFTER_LINE})
        else:
            self._keep(NONE)

    def _pre_tokenizer(self, part):
        """Behind a part that divides at a cut the others work on each side by itself, but for Metaspace's "first"."""
        kind, harmless, divides = part["type"], NONE, NONE
        if kind in ("Digits", "Punctuation"):
            harmless = RULES if kind == "Digits" or part["behavior"] in ("Isolated", "Contiguous", "Removed") else RULES - {ANY_LINE}
        elif kind in ("Whitespace", "WhitespaceSplit", "BertPreTokenizer"):
            divides = RULES if self.spaces == {" "} else NONE
        elif kind == "Metaspace":
            harmless = RULES if part["prepend_scheme"] == "never" else frozenset((SPACE,))
            if part["prepend_scheme"] == "first":
                self._keep(harmless)
            if not self.spaces <= {" ", part["replacement"]}:
                harmless = NONE
            elif part["split"]:
                divides = harmless & {SPACE}
            self.spaces = {part["replacement"]}
        elif kind == "Split":
            harmless, divides = self._split(part)
        elif kind == "ByteLevel":
            harmless = frozenset((SPACE,)) if part["add_prefix_space"] else RULES
            if part["use_regex"]:
                divides = harmless & SPLITS[GPT2] if self.spaces == {" "} else NONE
                harmless = NONE
            self.spaces = set()  # in another alphabet now
        self._keep(harmless | divides | self.divided)
        self.divided = self.divided | divides

    def _split(self, part):
        literal, expression = part["pattern"].get("String"), part["pattern"].get("Regex")
        isolated = part["behavior"] == "Isolated"
        if literal == " " and not part["invert"]:
            if " " not in self.spaces:
                return RULES, NONE
            divides = NONE if part["behavior"] == "MergedWithPrevious" or self.spaces != {" "} else frozenset((SPACE,))
            return RULES - {SPACE}, divides
        if expression in CLASSES and isolated:
            return RULES, NONE
        if expression in SPLITS and self.spaces == {" "} and (isolated or (part["behavior"] == "Removed" and part["invert"])):
            return NONE, SPLITS[expression]
        return NONE, NONE

    def _model(self, model):
        """Where nothing divides, BPE does if no token goes from another character on into a space: nothing can be merged over that."""
        if self.divided >= self.rules:
            return
        merges_alone = (SPACE in self.rules and len(self.spaces) == 1 and model["type"] == "BPE" and not model["ignore_merges"]
                        and not model["continuing_subword_prefix"] and not model["end_of_word_suffix"])
        space = "".join(self.spaces)
        if merges_alone and space in model["vocab"]:
            before = re.compile(f"([^{re.escape(space)}]){re.escape(space)}", re.DOTALL)
            self.forbidden = "".join({c for token in model["vocab"] if space in token for c in before.findall(token)})
            self._keep(self.divided | ({SPACE} if ">" not in self.forbidden else NONE))  # > is the end of a byte's token
        else:
            self._keep(self.divided)

    def _post_processor(self, part):
        """Without special tokens these leave the ids alone."""
        if part["type"] == "TemplateProcessing":
            sequences = [piece["Sequence"]["id"] for piece in part["single"] if "Sequence" in piece]
            self._keep(RULES if sequences == ["A"] else NONE)
        elif part["type"] not in ("ByteLevel", "BertProcessing", "RobertaProcessing"):
            self._keep(NONE)

    def _added_token(self, tokenizer, token, spaces):
        """None may reach over a cut, nor may what it takes of the white space around it, or asks of its neighbours."""
        contents = {token["content"]}
        if token["normalized"] and tokenizer.normalizer is not None:
            contents.add(tokenizer.normalizer.normalize_str(token["content"]))
        for content in contents:
            blank = [c.isspace() or c in spaces for c in content]
            for left, right, c, next_c in zip(blank, blank[1:], content, content[1:]):
                if not left and right:
                    self._keep(RULES - ({LINE, ANY_LINE} if next_c in "\r\n" else {SPACE}))
                if c == "\n" and not right:
                    self._keep(RULES - {AFTER_LINE})
            if not content or (token["single_word"] and (blank[0] or blank[-1])):
                self._keep(NONE)
            elif token["rstrip"]:
                self._keep(NONE if content[-1].isalnum() else RULES - {ANY_LINE})
            if token["lstrip"]:
                self._keep(RULES - {AFTER_LINE})
            if self.prepended is not None and content and (content[0].isalnum() or content[0] == " "):
                self._keep(NONE)

    def find(self, text, start):
        """The first cut at or behind `start`, as (where the left piece ends, where the right one begins), or None. A character must follow."""
        if not self.rules:
            return None
        for match in _CANDIDATES.finditer(text, max(start, 2), len(text) - 1):
            i = match.start()
            if text[i] == " ":
                if SPACE in self.rules and self._is_word_before(text, i):
                    if self.prepended is None:
                        return i, i
                    if self._is_word_after(text, i + 1):
                        return i, i + 1
            elif (LINE in self.rules and self._is_word_before(text, i)) or (ANY_LINE in self.rules and self._is_black_before(text, i)):
                return i, i
            elif text[i] == "\n" and AFTER_LINE in self.rules and self._is_word_after(text, i + 1):
                return i + 1, i + 1
        return None

    def _image(self, character):
        for image in self.images:
            character = image(character)
        return character

    def _is_word_before(self, text, end):
        if self.ascii and not text[end - 2:end].isascii():
            return False
        image = self._image(text[end - 1])
        return _is_word(text[end - 1]) and image != "" and _is_word(image[-1]) and image[-1] not in self.forbidden

    def _is_word_after(self, text, begin):
        image = self._image(text[begin])
        return _is_word(text[begin]) and image != "" and _is_word(image[0]) and (not self.ascii or text[begin].isascii())

    def _is_black_before(self, text, end):
        image = self._image(text[end - 1])
        return not text[end - 1].isspace() and image != "" and not image[-1].isspace()


_CANDIDATES = re.compile("[ \r\n]")


def _parts(part, inner):
    """A part, or those of a Sequence, however deep."""
    if part is None:
        return
    if part["type"] == "Sequence":
        for each in part[inner]:
            yield from _parts(each, inner)
    else:
        yield part


def _keeps_ascii(part):
    normalizer = normalizers.Precompiled(base64.b64decode(part["precompiled_charsmap"]))
    letters = [chr(c) for c in range(128) if chr(c).isalnum() or chr(c) == " "]
    return all(normalizer.normalize_str(c) == c for c in letters)
