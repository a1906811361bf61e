"""Conversations, instructions and preference pairs into examples, with templates and expectations written by hand."""
import json
import unittest

from tokenizers import processors

import tokenizers_of_kinds as kinds
from files_test import Held, InFolder
from tokenize_text import encode, progress
from tokenize_text.convert import Converter
from tokenize_text.errors import Refusal
from tokenize_text.lines import KINDS
from tokenize_text.templates import Model

from cuts_test import cutter_of

SPECIAL = ["<|im_start|>", "<|im_end|>", "<|begin|>", "<|header|>", "<|/header|>", "<|eot|>"]
CHATML = ("{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
          "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
MARKED = """{%- for message in messages -%}
    <|im_start|>{{ message.role }}
{% if message.role == 'assistant' %}{% generation %}{{ message.content }}<|im_end|>{% endgeneration %}{% else %}{{ message.content }}<|im_end|>{% endif %}
{{ '\\n' }}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif -%}
"""
LLAMA3 = ("{{ bos_token }}{% if tools is not none %}{{ tools | tojson }}{% endif %}{% for message in messages %}"
          "{{ '<|header|>' + message['role'] + '<|/header|>\n\n' + message['content'] | trim + '<|eot|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|header|>assistant<|/header|>\n\n' }}{% endif %}")
# Has nothing behind an answer.
PLAIN = ("{% for message in messages %}<|header|>{{ message.role }}<|/header|>{{ message.content }}{% endfor %}"
         "{% if add_generation_prompt %}<|header|>assistant<|/header|>{% endif %}")
# Takes what is thought out of every answer but the last.
FORGETFUL = ("{% for message in messages %}<|header|>{{ message.role }}<|/header|>{% if loop.last %}{{ message.content }}{% else %}{{ message.content.split('</think>')[-1] }}{% endif %}"
             "<|im_end|>{% endfor %}{% if add_generation_prompt %}<|header|>assistant<|/header|>{% endif %}")


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


def tokenizer_of(kind="gpt2"):
    tokenizer = kinds.made.__wrapped__(kind)
    tokenizer.add_special_tokens(SPECIAL)
    return tokenizer


class Chat(InFolder):
    tokenizer = tokenizer_of()

    def convert(self, rows, template=None, kind=None, separator=None, config=None, tokenizer=None, option=None):
        """The lines that are written, parsed."""
        tokenizer = tokenizer or self.tokenizer
        path = self.write("a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        if template is not None:
            self.write("chat_template.jinja", template)
        if config is not None:
            self.write("tokenizer_config.json", json.dumps(config))
        model = Model(str(self.folder / "tokenizer.json"), option)
        converter = Converter(tokenizer, cutter_of(tokenizer), [tokenizer.token_to_id(separator)] if separator else [], Held(), model, KINDS.get(kind))
        quiet = progress.Progress("", 0, None)
        for source in converter.check([path], quiet):
            converter.convert(source, quiet)
        return [json.loads(line) for line in (self.folder / "a.tokens.jsonl").read_text().splitlines()]

    def ids(self, text):
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def counted(self, example):
        """Runs of tokens that count, as text."""
        runs, run = [], []
        for id, counts in [*zip(example["tokens"], example["mask"]), (0, 0)]:
            if counts:
                run.append(id)
            elif run:
                runs.append(self.tokenizer.decode(run, skip_special_tokens=False))
                run = []
        return runs

    def refused(self, rows, why, **options):
        with self.assertRaisesRegex(Refusal, why) as refused:
            self.convert(rows, **options)
        self.assertNotIn("\n", str(refused.exception))
        self.assertNotIn("a.tokens.jsonl", self.names())

    TALK = [user("ab?"), assistant(" a b"), user("and"), assistant("ll 😀")]
    TALK_CHATML = ("<|im_start|>user\nab?<|im_end|>\n<|im_start|>assistant\n a b<|im_end|>\n<|im_start|>user\nand<|im_end|>\n"
                   "<|im_start|>assistant\nll 😀<|im_end|>\n")

    def test_the_assistants_turns_count_with_what_ends_them(self):
        for template in (CHATML, MARKED):
            with self.subTest(template):
                example, = self.convert([{"messages": self.TALK}], template)
                self.assertEqual(example["tokens"], self.ids(self.TALK_CHATML))
                self.assertEqual(self.counted(example), [" a b<|im_end|>", "ll 😀<|im_end|>"])
                self.assertEqual(set(example), {"tokens", "mask"})

    def test_a_template_has_the_models_special_tokens(self):
        text = ("<|begin|><|header|>system<|/header|>\n\nx<|eot|><|header|>user<|/header|>\n\nab<|eot|>"
                "<|header|>assistant<|/header|>\n\nb<|eot|>")
        for row in ({"messages": [{"role": "system", "content": "x"}, user("ab"), assistant("b ")]}, {"system": "x", "messages": [user("ab"), assistant("b")]}):
            example, = self.convert([row], LLAMA3, config={"bos_token": {"content": "<|begin|>"}})
            self.assertEqual(example["tokens"], self.ids(text))
            self.assertEqual(self.counted(example), ["b<|eot|>"])

    def test_tools_are_given_to_the_template(self):
        self.refused([{"messages": self.TALK, "tools": "x"}], 'line 1: its "tools" is not a list of objects', template=LLAMA3)
        example, = self.convert([{"messages": [user("a"), assistant("b")], "tools": [{"name": "é<"}]}], LLAMA3)
        self.assertEqual(example["tokens"][:9], self.ids('[{"name": "é<"}]<|header|>user')[:9])

    def test_sharegpt_says_the_same_in_its_own_words(self):
        talk = [{"from": "human", "value": "ab?"}, {"from": "gpt", "value": " a b"}, {"from": "human", "value": "and"}, {"from": "gpt", "value": "ll 😀"}]
        self.assertEqual(self.convert([{"conversations": talk}], CHATML), self.convert([{"messages": self.TALK}], CHATML))

    def test_words_that_are_trimmed_in_the_librarys_places_count(self):
        """A post-processor may leave the space of " a" out of its place, and all of "  "."""
        tokenizer = tokenizer_of()
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
        example, = self.convert([{"messages": [user("a"), assistant(" b  "), user("a"), assistant("a ")]}], PLAIN, tokenizer=tokenizer)
        self.assertEqual(self.counted(example), [" b  ", "a "])

    def test_a_token_that_reaches_into_an_answer_counts(self):
        self.assertEqual(encode.mask_of([(0, 2), (2, 5), (5, 6), (6, 6), (6, 9)], [(3, 6), (8, 9)]), [0, 1, 1, 0, 1])
        self.assertEqual(encode.mask_of([(0, 1), (1, 1), (1, 2), (1, 2), (2, 3)], [(1, 2)]), [0, 0, 1, 1, 0])

    def test_a_template_that_rewrites_what_was_said_is_refused_by_its_line(self):
        fine = {"messages": [user("a"), assistant("<think>b</think>a")]}
        rewritten = {"messages": [*fine["messages"], user("a"), assistant("b")]}
        self.assertEqual(self.counted(self.convert([fine], FORGETFUL)[0]), ["<think>b</think>a<|im_end|>"])
        (self.folder / "a.tokens.jsonl").unlink()
        self.refused([fine, rewritten], "line 2: the chat template writes message 2 otherwise where others follow.*; end the conversation there, or", template=FORGETFUL)
        self.refused([fine], "line 1: the chat template begins message 2 otherwise than its own prompt", template=FORGETFUL.replace("assistant", "bot"))

    def test_prompts_and_completions_of_messages(self):
        example, = self.convert([{"prompt": self.TALK[:3], "completion": self.TALK[3:]}], CHATML)
        self.assertEqual(example["tokens"], self.ids(self.TALK_CHATML))
        self.assertEqual(self.counted(example), ["ll 😀<|im_end|>"])

    def test_completions_of_text_end_with_the_separator_or_the_models_own_end(self):
        row, end = {"prompt": "ab", "completion": " b"}, {"eos_token": "<|eot|>"}
        for options, ending in (({}, ""), ({"config": end}, "<|eot|>"), ({"config": end, "separator": "<|end|>"}, "<|end|>")):
            example, = self.convert([row], **options)
            self.assertEqual(example["tokens"], self.ids("ab") + self.ids(" b") + self.ids(ending))
            self.assertEqual(self.counted(example), [" b" + ending])

    def test_instructions_are_put_as_alpaca_puts_them(self):
        rows = [{"instruction": "ab", "input": "b b", "output": "ll", "text": "all of it"}, {"instruction": "ab", "input": "", "output": "ll"}]
        head = "Below is an instruction that describes a task"
        texts = [head + ", paired with an input that provides further context. Write a response that appropriately completes the request.\n\n"
                 "### Instruction:\nab\n\n### Input:\nb b\n\n### Response:",
                 head + ". Write a response that appropriately completes the request.\n\n### Instruction:\nab\n\n### Response:"]
        for example, text in zip(self.convert(rows, separator="<|end|>"), texts):
            self.assertEqual(example["tokens"], self.ids(text) + self.ids("ll<|end|>"))
            self.assertEqual(self.counted(example), ["ll<|end|>"])
        path = self.write("b.jsonl", json.dumps(rows[0]))
        converter = Converter(self.tokenizer, cutter_of(self.tokenizer), [], Held(), None, KINDS["text"])
        self.assertEqual(converter.check([path], progress.Progress("", 0, None))[0].form, KINDS["text"])

    def test_pairs_of_texts(self):
        rows = [{"prompt": "ab ", "chosen": "x", "rejected": "The"}, {"chosen": "ab? a b", "rejected": "ab? x"}, {"chosen": "ab", "rejected": "ab"}]
        said, common, alike = self.convert(rows, separator="<|end|>")
        self.assertEqual(said, {"prompt": self.ids("ab "), "chosen": self.ids("x<|end|>"), "rejected": self.ids("The<|end|>")})
        self.assertEqual(common, {"prompt": self.ids("ab?"), "chosen": self.ids(" a b<|end|>"), "rejected": self.ids(" x<|end|>")})
        self.assertEqual(alike, {"prompt": self.ids("a"), "chosen": self.ids("b<|end|>"), "rejected": self.ids("b<|end|>")})

    def test_pairs_of_messages(self):
        prompt = {"prompt": self.ids("<|im_start|>user\nab?<|im_end|>\n<|im_start|>assistant\n")}
        expected = {**prompt, "chosen": self.ids("a b<|im_end|>"), "rejected": self.ids("x<|im_end|>")}
        asked, chosen, rejected = [user("ab?")], [assistant("a b")], [assistant("x")]
        for row in ({"prompt": asked, "chosen": chosen, "rejected": rejected}, {"chosen": asked + chosen, "rejected": asked + rejected},
                    {"prompt": "ab?", "chosen": asked + chosen, "rejected": asked + rejected, "messages": asked + chosen}):
            self.assertEqual(self.convert([row], CHATML), [expected])

    def test_bad_lines_are_refused_by_their_number(self):
        good = {"messages": self.TALK}
        cases = (
            ({"messages": "ab"}, 'its "messages" is text, not a list of messages'),
            ({"messages": ["ab"]}, 'message 1 of its "messages" is text, not an object'),
            ({"messages": [{"content": "ab"}]}, 'message 1 of its "messages" has no "role"'),
            ({"conversations": [{"from": "alien", "value": "ab"}]}, 'message 1 of its "conversations" is from "alien"'),
            ({"conversations": [{"from": "gpt", "value": None}]}, 'its "value" is null, not text'),
            ({"messages": [user("ab")]}, "it has no message of the assistant"),
            ({"messages": [user("ab"), assistant(None)]}, "the chat template refuses it"),
            ({"messages": [user("ab"), assistant("\ud83d")]}, r"it has half of a surrogate pair \(\\ud83d\)"),
            ({"messages": [user("ab"), assistant("a\ufdd0")]}, "its {% generation %} blocks lie in one another, or it has U.FDD0"),
            ({"system": "x", "messages": [{"role": "system", "content": "y"}, *self.TALK]}, 'it has a "system" and a first message of that role'),
            ({"text": "ab"}, 'it has no "messages"; all lines must have what line 1 has'),
        )
        for bad, why in cases:
            with self.subTest(why):
                self.refused([good, bad], "a.jsonl, line 2: " + why, template=MARKED if "generation" in why else CHATML)
        others = (
            ({"prompt": [user("a")], "completion": "b"}, 'its "prompt" is a list of messages and its "completion" is text'),
            ({"chosen": "ab", "rejected": "xb"}, "it has no prompt"),
            ({"prompt": "", "chosen": "ab", "rejected": "xb"}, "it has no prompt"),
            ({"chosen": [assistant("a")], "rejected": [assistant("b")]}, "it has no prompt"),
            ({"prompt": "a", "chosen": "", "rejected": "b"}, 'its "chosen" is empty'),
            ({"instruction": "a", "output": ""}, 'its "output" is empty'),
            ({"instruction": "a", "input": 5, "output": "b"}, 'its "input" is a number'),
            ({"something": "a"}, 'it has neither "text"'),
        )
        for bad, why in others:
            with self.subTest(why):
                self.refused([bad], "a.jsonl, line 1: " + why, template=CHATML)
        self.refused([{"text": "a"}], 'line 1: it has no "messages"; --kind messages needs it', template=CHATML, kind="messages")

    def test_a_template_is_looked_for_where_models_have_it(self):
        rows = [{"messages": [user("ab"), assistant("b")]}]
        expected = self.ids("<|im_start|>user\nab<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n")
        self.refused(rows, 'line 1: it has messages, and there is no chat template: neither .*chat_template.jinja nor "chat_template" in .*; give --template FILE')
        named = [{"name": "tool_use", "template": "x"}, {"name": "default", "template": CHATML}]
        for config in ({"chat_template": CHATML}, {"chat_template": named}):
            self.assertEqual(self.convert(rows, config=config)[0]["tokens"], expected)
        other = self.convert(rows, LLAMA3)[0]["tokens"]
        self.assertNotEqual(other, expected, "a file of its own comes first")
        self.assertEqual(self.convert(rows, option=self.write("mine.jinja", CHATML))[0]["tokens"], expected)

    def test_a_template_that_fails_says_why_and_reaches_nothing(self):
        rows = [{"messages": self.TALK}]
        cases = (("{% for %}", "chat_template.jinja: its chat template, line 1: "),
                 ("{{ raise_exception('roles must alternate') }}", "line 1: the chat template refuses it: roles must alternate"),
                 ("{{ ''.__class__.__mro__ }}", "line 1: the chat template refuses it: .*unsafe"),
                 ("{{ messages.append(1) }}", "line 1: the chat template refuses it: .*unsafe"))
        for template, why in cases:
            with self.subTest(template):
                self.refused(rows, why, template=template)
        self.write("tokenizer_config.json", "{")
        with self.assertRaisesRegex(Refusal, "tokenizer_config.json: Expecting"):
            Model(str(self.folder / "tokenizer.json"))

    def test_templates_have_the_functions_that_transformers_gives_them(self):
        template = ("{% for message in messages %}{% if message.role == 'user' %}{% continue %}{% endif %}{{ strftime_now('%Y') | length }}"
                    "{{ message.content }}{% break %}{% endfor %}")
        self.assertEqual(self.counted(self.convert([{"messages": [user("a"), assistant("b")]}], template)[0]), ["4b"])


if __name__ == "__main__":
    unittest.main()
