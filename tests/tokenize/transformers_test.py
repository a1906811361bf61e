"""Ids and masks of conversations beside those of transformers' apply_chat_template, where it is installed."""
import json
import random
import unittest

try:
    from transformers import PreTrainedTokenizerFast
except ImportError:
    PreTrainedTokenizerFast = None

from chat_test import CHATML, LLAMA3, MARKED, Chat, assistant, user

WORDS = ["ab", " a", "The", "é日本", "\n", "  ", "'s", "<|im_end|>", "😀", "ll x"]


@unittest.skipIf(PreTrainedTokenizerFast is None, "transformers is not installed")
class BesideTransformers(Chat):
    def talk(self, draw):
        said = lambda: "x" + "".join(draw.choices(WORDS, k=draw.randint(0, 6))) + "x"
        turns = [message for _ in range(draw.randint(1, 4)) for message in (user(said()), assistant(said()))]
        return [{"role": "system", "content": said()}, *turns] if draw.random() < 0.5 else turns

    def test_ids_and_masks_are_the_same(self):
        draw = random.Random(7)
        talks = [self.talk(draw) for _ in range(40)]
        other = PreTrainedTokenizerFast(tokenizer_object=self.tokenizer, bos_token="<|begin|>")
        for template in (CHATML, MARKED, LLAMA3):
            ours = self.convert([{"messages": talk} for talk in talks], template, config={"bos_token": "<|begin|>"})
            for talk, example in zip(talks, ours):
                theirs = other.apply_chat_template(talk, chat_template=template, tokenize=True, return_dict=True, return_assistant_tokens_mask=template == MARKED)
                self.assertEqual(example["tokens"], list(theirs["input_ids"]), json.dumps(talk))
                if template == MARKED:
                    self.assertEqual(example["mask"], list(theirs["assistant_masks"]), json.dumps(talk))


# Only its own: those of the class that it takes its helpers from run by themselves.
def load_tests(loader, _tests, _pattern):
    return unittest.TestSuite([BesideTransformers("test_ids_and_masks_are_the_same")])


if __name__ == "__main__":
    unittest.main()
