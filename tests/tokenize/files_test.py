"""What is read and what is written, without the process around it."""
import array
import contextlib
import io
import json
import os
import pathlib
import struct
import tempfile
import unittest

import tokenizers_of_kinds as kinds
from tokenize_text import encode, inputs, outputs, progress
from tokenize_text.convert import Converter
from tokenize_text.errors import Refusal

from cuts_test import cutter_of


class Held:
    """Signals, in a process that gets none."""

    @contextlib.contextmanager
    def held(self):
        yield


def megatron(name):
    """The documents of NAME.bin and NAME.idx, as lists of ids."""
    index = pathlib.Path(f"{name}.idx").read_bytes()
    version, code, sequences, bounds = struct.unpack_from("<QBQQ", index, 9)
    assert index[:9] == b"MMIDIDX\0\0" and version == 1 and bounds == sequences + 1 and len(index) == 34 + 12 * sequences + 8 * bounds
    width, letter = {8: (2, "H"), 4: (4, "i")}[code]
    sizes = struct.unpack_from(f"<{sequences}i", index, 34)
    offsets = struct.unpack_from(f"<{sequences}q", index, 34 + 4 * sequences)
    assert struct.unpack_from(f"<{bounds}q", index, 34 + 12 * sequences) == tuple(range(bounds))
    tokens = pathlib.Path(f"{name}.bin").read_bytes()
    assert len(tokens) == width * sum(sizes)
    return [list(struct.unpack_from(f"<{size}{letter}", tokens, offset)) for size, offset in zip(sizes, offsets)]


class InFolder(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.addCleanup(outputs.discard_all)

    def enterContext(self, context):  # unittest has it from Python 3.11 on
        value = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        return value

    def write(self, name, content):
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    def names(self):
        return sorted(path.name for path in self.folder.iterdir())


class Converted(InFolder):
    def convert(self, path, separator=(), kind="gpt2"):
        tokenizer = kinds.made(kind)
        converter = Converter(tokenizer, cutter_of(tokenizer), list(separator), Held())
        quiet = progress.Progress("", 0, None)
        return [converter.convert(source, quiet) for source in converter.check([path], quiet)]

    def ids(self, text, kind="gpt2"):
        return kinds.made(kind).encode(text, add_special_tokens=False).ids

    def test_a_text_in_small_blocks_and_pieces_is_one_document(self):
        text = "é日本 mixed\r\n\n words, “and” 👩‍👩‍👧‍👦 lines\n" * 40
        path = self.write("a.txt", b"\xef\xbb\xbf" + text.encode())
        lines = self.write("b.jsonl", json.dumps({"text": text}) + '\n{"text": "a b c d e"}\n')
        self.addCleanup(setattr, inputs, "BLOCK", inputs.BLOCK)
        self.addCleanup(setattr, encode, "PIECE", encode.PIECE)
        for inputs.BLOCK, encode.PIECE, kind in ((1, 1, "gpt2"), (2, 5, "llama3"), (3, 1, "stripped"), (7, 11, "llama2"), (1 << 20, 1 << 16, "gpt2")):
            with self.subTest(block=inputs.BLOCK, piece=encode.PIECE, kind=kind):
                self.convert(path, kind=kind)
                self.assertEqual(megatron(self.folder / "a"), [self.ids(text, kind)])
                self.convert(lines, kind=kind)
                self.assertEqual(megatron(self.folder / "b"), [self.ids(text, kind), self.ids("a b c d e", kind)])

    def test_documents_end_with_one_separator_and_empty_ones_are_left_out(self):
        path = self.write("a.jsonl", '{"text": "one"}\r\n\n{"text": ""}\n{"text": "two<|end|>"}\n{"text": "3", "other": null}')
        end = kinds.made("gpt2").token_to_id("<|end|>")
        lines = self.convert(path, [end])
        expected = [self.ids("one") + [end], self.ids("two") + [end], self.ids("3") + [end]]
        self.assertEqual(lines, [f"{self.folder}/a.bin: {sum(map(len, expected))} tokens in 3 documents (1 empty left out)"])
        self.assertEqual(megatron(self.folder / "a"), expected)

    def test_examples_count_their_completions(self):
        path = self.write("a.jsonl", '{"prompt": "ab", "completion": " b"}\n{"prompt": "", "completion": ""}\n')
        self.convert(path, [7])
        prompt, completion = self.ids("ab"), self.ids(" b") + [7]
        self.assertEqual((self.folder / "a.tokens.jsonl").read_text(),
                         '{"tokens":%s,"mask":%s}\n{"tokens":[7],"mask":[1]}\n' % (
                             str(prompt + completion).replace(" ", ""), str([0] * len(prompt) + [1] * len(completion)).replace(" ", "")))

    def test_bad_input_is_refused_by_file_and_line(self):
        good = b'{"text": "ok"}\n'
        cases = (
            ("surrogate.jsonl", good + b'{"text": "half \\ud83d emoji"}\n', r'line 2: its "text" has half of a surrogate pair \(\\ud83d\) as character 6'),
            ("null.jsonl", good + b"\n" + b'{"text": null}\n', r'line 3: its "text" is null'),
            ("number.jsonl", b'{"text": 5}\n', r'line 1: its "text" is a number'),
            ("list.jsonl", good + b"[1,2]\n", "line 2: it is no JSON object"),
            ("missing.jsonl", good + b'{"content": "x"}\n', 'line 2: it has no "text"; all lines must have what line 1 has'),
            ("mixed.jsonl", b'{"prompt": "a", "completion": "b"}\n' + good, 'line 2: it has no "prompt"'),
            ("half.jsonl", b'{"prompt": "a"}\n', 'line 1: it has neither "text" nor "prompt" and "completion"'),
            ("empty_completion.jsonl", b'{"prompt": "a", "completion": ""}\n', 'line 1: its "completion" is empty'),
            ("torn.jsonl", good + b'{"text": "a', "line 2: Unterminated string .* at its character 10"),
            ("deep.jsonl", b"[" * 200000, "line 1: its JSON is nested too deeply"),
            ("digits.jsonl", b'{"text": "a", "n": ' + b"1" * 5000 + b"}", "line 1: "),
            ("latin.jsonl", good + b'{"text": "caf\xe9"}\n', r"line 2: byte 28 \(0xe9\) is not UTF-8"),
            ("latin.txt", b"one\ncaf\xe9\n", r"line 2: byte 7 \(0xe9\) is not UTF-8"),
            ("cut.txt", "one\né".encode()[:-1], r"line 2: byte 4 \(0xc3\) is not UTF-8"),
            ("utf16.txt", "hello".encode("utf-16"), "line 1: byte 0: a byte-order mark of UTF-16"),
            ("utf32.jsonl", "hello".encode("utf-32"), "line 1: byte 0: a byte-order mark of UTF-32"),
            ("utf16le.txt", "hello".encode("utf-16-le"), "line 1: byte 1 is one of 5 zeros in 10 B, as in UTF-16"),
            ("empty.txt", b"", "it has no text"),
            ("mark.txt", b"\xef\xbb\xbf", "it has no text"),
            ("blank.jsonl", b"\n\n", "it has no text"),
            ("nothing.jsonl", b'{"text": ""}\n', "it has no text"),
        )
        for name, content, why in cases:
            with self.subTest(name):
                path = self.write(name, content)
                with self.assertRaisesRegex(Refusal, "^" + path + r"(, |: )" + why) as refused:
                    self.convert(path)
                self.assertNotIn("\n", str(refused.exception))
        self.assertEqual(self.names(), sorted(name for name, _, _ in cases))

    def test_a_text_that_has_no_tokens_is_refused(self):
        path = self.write("a.txt", " \n ")
        with self.assertRaisesRegex(Refusal, "a.bin: the tokenizer makes no token of its text"):
            self.convert(path, kind="bert")

    def test_a_large_text_in_one_call_is_said_with_its_memory(self):
        path = self.write("a.txt", "word " * (4 << 20))
        for kind, why in (("stripped", "cannot be cut with this tokenizer"), ("gpt2", None)):
            tokenizer = kinds.made(kind)
            converter = Converter(tokenizer, cutter_of(tokenizer), [], Held())
            line = converter.memory_line(converter.check([path], progress.Progress("", 0, None))[0])
            self.assertEqual(line, line and f"{path}: 21 MB of its text {why}, and must be one call of the library, which takes up to 4.8 GB of memory")
            self.assertEqual(line is None, why is None)


class Written(InFolder):
    def pair(self, name, documents):
        writer = outputs.MegatronWriter([f"{self.folder}/{name}.bin", f"{self.folder}/{name}.idx"], 300)
        for document in documents:
            writer.add(array.array(writer.type, document))
            writer.end_document()
        return writer

    def test_a_run_killed_while_its_files_appear_leaves_no_pair_of_two_runs(self):
        for last in ("unlink", "replace", "replace again"):
            with self.subTest(last):
                self.pair("a", [[1, 2], [3]]).close(Held())
                child = os.fork()
                if child == 0:
                    self.die_after(last)
                    self.pair("a", [[4, 5, 6]]).close(Held())
                    os._exit(1)
                self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 9)
                if last == "replace again":
                    self.assertEqual(megatron(self.folder / "a"), [[4, 5, 6]])
                else:
                    self.assertNotIn("a.bin", self.names())
                self.pair("a", [[7]]).close(Held())
                self.assertEqual(megatron(self.folder / "a"), [[7]])
                self.assertEqual(self.names(), ["a.bin", "a.idx"])

    def die_after(self, last):
        """Ends this process behind that call."""
        calls = []

        def dying(function, name):
            def call(*arguments):
                function(*arguments)
                calls.append(name)
                if last in (name, f"{name} again" if calls.count(name) == 2 else None):
                    os._exit(9)
            return call

        os.unlink, os.replace = dying(os.unlink, "unlink"), dying(os.replace, "replace")

    def test_two_runs_do_not_write_the_same_file(self):
        first = self.pair("a", [[1]])
        with self.assertRaisesRegex(Refusal, "a.bin.gsnake-partial: another tokenize is writing it"):
            self.pair("a", [[2]])
        first.close(Held())
        self.assertEqual(megatron(self.folder / "a"), [[1]])

    def test_a_document_longer_than_an_index_can_tell_is_refused(self):
        writer = self.pair("a", [])
        writer.size = (1 << 31) - 2
        with self.assertRaisesRegex(Refusal, "a document of 2147483648 tokens"):
            writer.add(array.array("H", [1, 2]))


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Shown(unittest.TestCase):
    def test_progress_says_bytes_rate_and_time_left_four_times_a_second(self):
        terminal = Terminal()
        shown = progress.Progress("tokenized", 3000, terminal)
        self.addCleanup(setattr, progress.time, "monotonic", progress.time.monotonic)
        begin_s = shown.begin_s
        for after_s, done in ((0.2, 100), (0.3, 150), (0.4, 200), (0.5, 250), (0.6, 300)):
            progress.time.monotonic = lambda now_s=begin_s + after_s: now_s
            shown.show(done)
        shown.end_file(1000)
        progress.time.monotonic = lambda: begin_s + 2
        shown.show(1000)
        shown.clear()
        self.assertEqual(terminal.getvalue(), "\rtokenized 150 B of 3 kB, 500 B/s, 6 s left\033[K\rtokenized 300 B of 3 kB, 500 B/s, 5 s left\033[K"
                                              "\rtokenized 2 kB of 3 kB, 1 kB/s, 1 s left\033[K\r\033[K")


class Clashes(InFolder):
    def refused(self, paths, why, tokenizer="none.json"):
        before = {path.name: path.read_bytes() for path in self.folder.iterdir()}
        with self.assertRaisesRegex(Refusal, why):
            outputs.check_inputs(paths, tokenizer)
            outputs.check_outputs([inputs.Source(path, inputs.DOCUMENTS, 1) for path in paths])
        self.assertEqual(before, {path.name: path.read_bytes() for path in self.folder.iterdir()})

    def test_an_input_is_never_written_over(self):
        a, text = self.write("a.bin", "text"), self.write("b.txt", "text")
        index, partial = self.write("c.idx", "text"), self.write("d.bin.gsnake-partial", "text")
        d, tokens = self.write("d.txt", "text"), self.write("e.tokens.jsonl", '{"text": "a"}')
        e, tokenizer = self.write("e.jsonl", '{"text": "a"}'), self.write("f.bin", "{}")
        self.refused([a], "a.bin: its tokens would be written over it; rename it")
        self.refused([index], "c.idx: its tokens would be written over it")
        self.refused([d, partial], "d.txt: its tokens would be written over .*d.bin.gsnake-partial; rename one of them")
        self.refused([e, tokens], "e.jsonl: its tokens would be written over .*e.tokens.jsonl")
        self.refused([self.write("f.txt", "text")], "f.txt: its tokens would be written over .*f.bin", tokenizer)
        os.link(text, self.folder / "b.bin")
        self.refused([text], "b.txt: its tokens would be written over it")
        os.unlink(self.folder / "b.bin")
        os.symlink(d, self.folder / "b.bin")
        self.refused([text, d], "b.txt: its tokens would be written over .*d.txt")
        self.refused([text, str(self.folder / ".." / self.folder.name / "d.txt")], "b.txt: its tokens would be written over .*d.txt")

    def test_two_inputs_have_two_outputs(self):
        a, b, linked = self.write("a.txt", "1"), self.write("a.md", "2"), self.folder.parent / (self.folder.name + "-linked")
        os.symlink(self.folder, linked)
        self.addCleanup(os.unlink, linked)
        self.refused([a, b], "a.txt and .*a.md would both be written to .*a.bin; rename one of them")
        self.refused([a, str(linked / "a.txt")], "a.txt and .*a.txt would both be written to .*a.bin; name it once")
        os.mkdir(self.folder / "c.idx")
        c = self.write("c.txt", "1")
        with self.assertRaisesRegex(Refusal, "c.idx: it is a folder"):
            outputs.check_outputs([inputs.Source(c, inputs.DOCUMENTS, 1)])

    def test_only_files_are_read(self):
        os.mkfifo(self.folder / "a.txt")
        with self.assertRaisesRegex(Refusal, "a.txt: it is not a regular file"):
            outputs.check_inputs([str(self.folder / "a.txt")], "none.json")


if __name__ == "__main__":
    unittest.main()
