"""Texts are cut only where the ids of the pieces are those of the whole text."""
import json
import random
import unittest

import tokenizers_of_kinds as kinds
from tokenize_text import cuts, encode, inputs

TEXTS = 100


def cutter_of(tokenizer):
    return cuts.Cutter(tokenizer, json.loads(tokenizer.to_str()))


def first_difference(tokenizer, cutter, seed, texts):
    """(the pieces of a text whose ids are not those that one call of the library gives, or nothing; how many cuts there were)"""
    random_, count = random.Random(seed), 0
    for _ in range(texts):
        text = kinds.random_text(random_, random_.randint(5, 120))
        pieces = [piece for piece, _ in inputs.pieces_of(text, cutter, random_.randint(1, 8))]
        count += len(pieces) - 1
        ids = [id for encoding in tokenizer.encode_batch_fast(pieces, add_special_tokens=False) for id in encoding.ids]
        if ids != tokenizer.encode(text, add_special_tokens=False).ids:
            return pieces, count
    return None, count


class Cuts(unittest.TestCase):
    def test_pieces_have_the_ids_of_the_whole_text(self):
        for seed, name in enumerate(kinds.CUT):
            with self.subTest(name):
                tokenizer = kinds.made(name)
                different, count = first_difference(tokenizer, cutter_of(tokenizer), seed, TEXTS)
                self.assertIsNone(different)
                self.assertGreater(count, TEXTS // 4)

    def test_texts_stay_whole_where_no_cut_is_sure(self):
        for name in kinds.WHOLE:
            with self.subTest(name):
                self.assertEqual(cutter_of(kinds.made(name)).rules, cuts.NONE)

    def test_a_cut_at_any_other_place_would_change_ids(self):
        """So that the texts above are seen to tell a wrong rule from a right one."""
        for name, rule in (("gpt2", cuts.AFTER_LINE), ("gpt2, prefix", cuts.LINE), ("llama3", cuts.ANY_LINE), ("qwen2", cuts.ANY_LINE),
                           ("metaspace, always", cuts.LINE), ("metaspace, first", cuts.LINE), ("llama2", cuts.LINE), ("stripped", cuts.SPACE),
                           ("gpt2, stripped at the right", cuts.AFTER_LINE), ("a text twice", cuts.SPACE), ("spaces behind", cuts.SPACE),
                           ("an unknown expression", cuts.SPACE), ("an unknown replacement", cuts.SPACE),
                           ("gpt2, an added token with a space and line ends", cuts.SPACE), ("gpt2, an added token with a space and line ends", cuts.LINE),
                           ("gpt2, a token that takes spaces ends in a letter", cuts.SPACE)):
            with self.subTest(name, rule=rule):
                tokenizer = kinds.made(name)
                cutter = cutter_of(tokenizer)
                self.assertNotIn(rule, cutter.rules)
                cutter.rules = frozenset((rule,))
                self.assertIsNotNone(first_difference(tokenizer, cutter, 1, 3000)[0])

    def test_a_merge_over_a_space_is_not_cut(self):
        tokenizer = kinds.made("merges over spaces")
        cutter = cutter_of(tokenizer)
        cutter.forbidden = ""
        self.assertIsNotNone(first_difference(tokenizer, cutter, 1, 3000)[0])

    def test_what_normalizers_make_of_a_letter_counts(self):
        tokenizer = kinds.made("qwen2, NFKC")
        cutter = cutter_of(tokenizer)
        cutter.images = []
        bad = "क\u0958\n\n\nb"  # a letter that becomes a letter and a mark, which line ends belong to
        self.assertEqual(cutter_of(tokenizer).find(bad, 1), (5, 5))
        self.assertEqual(cutter.find(bad, 1), (2, 2))

    def test_a_prepended_text_is_not_prepended_to_each_piece(self):
        tokenizer = kinds.made("llama2")
        cutter = cutter_of(tokenizer)
        cutter.prepended = None
        self.assertIsNotNone(first_difference(tokenizer, cutter, 1, TEXTS)[0])

    def test_a_text_is_cut_behind_the_first_place_after_the_size(self):
        cutter = cutter_of(kinds.made("gpt2"))
        self.assertEqual([piece for piece, _ in inputs.pieces_of("one two three four", cutter, 5)], ["one two", " three", " four"])


class Calls(unittest.TestCase):
    def test_ids_come_in_the_order_of_the_texts(self):
        tokenizer = kinds.made("gpt2")
        texts = [f"text {i} " * (i % 7) for i in range(5000)]
        pieces = (inputs.Piece(text, "text", True, 0, 0) for text in texts)
        self.assertEqual([list(ids) for _, ids in encode.encode(tokenizer, pieces, "H")],
                         [encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)])

    def test_what_a_reader_refuses_ends_the_calls(self):
        def pieces():
            yield inputs.Piece("a", "text", True, 0, 0)
            raise ValueError("bad line")

        with self.assertRaisesRegex(ValueError, "bad line"):
            list(encode.encode(kinds.made("gpt2"), pieces(), "H"))


if __name__ == "__main__":
    unittest.main()
