"""Small tokenizers of the kinds that models have, and texts that are awkward to cut."""
import functools
import json
import random
import struct

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace("{1,3}", "")
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
DEEPSEEK3 = (r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|"""
             r"\s*[\r\n]+|\s+(?!\S)|\s+")
BLOOM = r" ?[^(\s|[.,!?…。，、।۔،])]+"
CHARSMAP = struct.pack("<257I", 1024, *[0] * 256)  # sentencepiece's, of no character
ATOMS = ["a", "b", "ab", "The", "l", "ll", "s", "'s", "'LL", "'", "Ab c", "x", "é", "e\u0301", "\u0301", "\u0327", "İ", "ß", "ﬁ", "ǆ", "Σ",
         "क", "\u0958", "\u093c", "ि", "日", "本", "한", "\u1112", "\u1161", "\u11ab", "ﾊ", "\uff9e", "ﷺ", "\ufe70", "\u0e33",
         "½", "²", "1", "23", "2024", "٣", " ", " ", " ", "  ", "\t", "\n", "\n", "\n\n", "\r\n", "\r", "\r\r\n", "\u0085", "\u00a0", "\u2028",
         "\u3000", "\u200b", "\u200d", "\x1c", "\x00", ".", ",", "。", "!", "/", "_", "-", "(", "¨", "▁", "Ġ", "👩‍👩‍👧‍👦", "😀",
         "\U0001f1e9\U0001f1ea", "<|end|>", "<mask>", "<pad>"]


def random_text(random_, atoms):
    """Runs of some atoms, so that each of them meets the others often."""
    some = random_.sample(ATOMS, random_.randint(3, 12)) + random_.choices(["a", " ", "\n", "b"], k=3)
    return "".join(random_.choice(some) for _ in range(atoms))


def corpus():
    random_ = random.Random(5)
    return [random_text(random_, 200) for _ in range(60)]


def trained(model, trainer, pre_tokenizer=None, normalizer=None, post_processor=None, added=()):
    tokenizer = Tokenizer(model)
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    if pre_tokenizer is not None:
        tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(corpus(), trainer)
    if post_processor is not None:
        tokenizer.post_processor = post_processor
    tokenizer.add_special_tokens(["<|end|>"])
    tokenizer.add_tokens(list(added))
    return tokenizer


def bpe(pre_tokenizer, normalizer=None, bytes_=True, added=(), post_processor=None, **options):
    alphabet = pre_tokenizers.ByteLevel.alphabet() if bytes_ else []
    trainer = trainers.BpeTrainer(vocab_size=900, initial_alphabet=alphabet, show_progress=False, special_tokens=["<unk>"])
    return trained(models.BPE(unk_token="<unk>", **options), trainer, pre_tokenizer, normalizer, post_processor, added)


def unigram(pre_tokenizer, normalizer=None, added=()):
    trainer = trainers.UnigramTrainer(n_sub_iterations=1, vocab_size=300, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False)
    return trained(models.Unigram(), trainer, pre_tokenizer, normalizer, None, added)


def split(*expressions, then=()):
    splits = [pre_tokenizers.Split(Regex(expression), "isolated") for expression in expressions]
    return pre_tokenizers.Sequence([*splits, *then, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def gpt2(**options):
    return bpe(pre_tokenizers.ByteLevel(add_prefix_space=False), **options)


def merges_of_words(pre_tokenizer=None, normalizer=None):
    """BPE over the whole text, as Llama 2's: the vocabulary says where it divides."""
    model = json.loads(bpe(pre_tokenizers.Metaspace(prepend_scheme="never"), bytes_=False).to_str())["model"]
    merges = [tuple(merge) for merge in model["merges"]]
    tokenizer = Tokenizer(models.BPE(vocab=model["vocab"], merges=merges, unk_token="<unk>", fuse_unk=True))
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    if pre_tokenizer is not None:
        tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.add_special_tokens(["<|end|>"])
    return tokenizer


def template(tokenizer_id):
    return processors.TemplateProcessing(single="<|end|> $A", special_tokens=[("<|end|>", tokenizer_id)])


# Those whose texts can be cut.
CUT = {
    "gpt2": lambda: gpt2(),
    "gpt2, prefix": lambda: bpe(pre_tokenizers.ByteLevel(add_prefix_space=True)),
    "gpt2, as a Split": lambda: bpe(split(GPT2)),
    "gpt2, NFC": lambda: gpt2(normalizer=normalizers.NFC()),
    "gpt2, NFKD": lambda: gpt2(normalizer=normalizers.NFKD()),
    "gpt2, without accents": lambda: gpt2(normalizer=normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase()])),
    "gpt2, stripped at the right": lambda: gpt2(normalizer=normalizers.Strip(left=False, right=True)),
    "gpt2, prefix, stripped at the right": lambda: bpe(pre_tokenizers.ByteLevel(add_prefix_space=True), normalizers.Strip(left=False, right=True)),
    "gpt2, added runs of spaces": lambda: gpt2(added=[AddedToken("  ", normalized=False), AddedToken("   ")]),
    "gpt2, <mask> takes spaces": lambda: gpt2(added=[AddedToken("<mask>", lstrip=True), AddedToken("<pad>", rstrip=True, single_word=True)]),
    "llama3": lambda: bpe(split(LLAMA3), post_processor=template(0), ignore_merges=True),
    "qwen2": lambda: bpe(split(QWEN2), normalizers.NFC()),
    "qwen2, NFKC": lambda: bpe(split(QWEN2), normalizers.NFKC()),
    "llama3, matches kept": lambda: bpe(pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3), "removed", invert=True),
                                                                 pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])),
    "o200k": lambda: bpe(split(O200K)),
    "deepseek3": lambda: bpe(split(r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK3)),
    "bloom": lambda: bpe(split(BLOOM)),
    "starcoder": lambda: bpe(pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])),
    "falcon": lambda: bpe(pre_tokenizers.Sequence([pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.ByteLevel(add_prefix_space=False),
                                                   pre_tokenizers.Digits(individual_digits=False), pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), "isolated")])),
    "llama2": lambda: merges_of_words(normalizer=normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])),
    "gemma": lambda: merges_of_words(pre_tokenizers.Split(" ", "merged_with_previous"), normalizers.Replace(" ", "▁")),
    "metaspace, always": lambda: unigram(pre_tokenizers.Metaspace(prepend_scheme="always")),
    "metaspace, first": lambda: unigram(pre_tokenizers.Metaspace(prepend_scheme="first"), normalizers.NFKC()),
    "metaspace, never": lambda: unigram(pre_tokenizers.Metaspace(prepend_scheme="never"), added=[AddedToken("<mask>", lstrip=True)]),
    "metaspace, not split": lambda: merges_of_words(pre_tokenizers.Metaspace(prepend_scheme="first", split=False)),
    "merges over spaces": lambda: Tokenizer(models.BPE(vocab={"<unk>": 0, "a": 1, "b": 2, " ": 3, "b ": 4, " a": 5, "ab": 6},
                                                       merges=[("b", " "), (" ", "a"), ("a", "b")], unk_token="<unk>", fuse_unk=True)),
    "t5": lambda: unigram(pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]), normalizers.Nmt()),
    "t5, of transformers": lambda: unigram(pre_tokenizers.Metaspace(), normalizers.Sequence([
        normalizers.Precompiled(CHARSMAP), normalizers.Strip(left=False, right=True), normalizers.Replace(Regex(" {2,}"), "▁")])),
    "albert": lambda: unigram(pre_tokenizers.Metaspace(), normalizers.Sequence([normalizers.Replace("``", '"'), normalizers.NFKD(),
                                                                                normalizers.StripAccents(), normalizers.Replace(Regex(" {2,}"), " ")])),
    "bert": lambda: trained(models.WordPiece(unk_token="<unk>"), trainers.WordPieceTrainer(vocab_size=300, special_tokens=["<unk>"], show_progress=False),
                            pre_tokenizers.BertPreTokenizer(), normalizers.BertNormalizer()),
    "words": lambda: trained(models.WordLevel(unk_token="<unk>"), trainers.WordLevelTrainer(vocab_size=300, special_tokens=["<unk>"], show_progress=False),
                             pre_tokenizers.Whitespace()),
    "spaces before": lambda: bpe(pre_tokenizers.Split(" ", "merged_with_next"), bytes_=False),
}
# Those whose texts are one call.
WHOLE = {
    "gpt2, a token that takes spaces ends in a letter": lambda: gpt2(added=[AddedToken("ab", rstrip=True)], normalizer=normalizers.NFC()),
    "an unknown expression": lambda: bpe(split(r"\p{L}+ ?|.")),
    "stripped": lambda: gpt2(normalizer=normalizers.Strip()),
    "an unknown replacement": lambda: gpt2(normalizer=normalizers.Replace(Regex("b *a"), "x")),
    "unigram, not split": lambda: unigram(pre_tokenizers.Metaspace(split=False)),
    "gpt2, an added token with a space and line ends": lambda: gpt2(added=[AddedToken("Ab c"), AddedToken("b\n")]),
    "a text twice": lambda: gpt2(post_processor=processors.TemplateProcessing(single="$A $A")),
    "spaces behind": lambda: bpe(pre_tokenizers.Split(" ", "merged_with_previous"), bytes_=False),
}


@functools.cache
def made(name):
    return (CUT.get(name) or WHOLE[name])()
