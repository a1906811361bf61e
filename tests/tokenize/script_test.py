"""scripts/tokenize.py as a process: its statuses and lines, and what it leaves behind."""
import json
import os
import pathlib
import pty
import resource
import signal
import subprocess
import sys
import time
import unittest

import tokenizers_of_kinds as kinds
from files_test import InFolder, megatron

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, str(ROOT / "scripts/tokenize.py")]
VERSES = (ROOT / "examples/data/kjv_train.txt").read_text()


class Script(InFolder):
    def setUp(self):
        super().setUp()
        self.tokenizer = str(self.folder / "tokenizer.json")
        kinds.made("gpt2").save(self.tokenizer)

    def start(self, *arguments, tokenizer=None, **options):
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.Popen([*COMMAND, "--tokenizer", tokenizer or self.tokenizer, *map(os.fspath, arguments)], **options)

    def outcome(self, process):
        out, err = process.communicate(timeout=60)
        return process.returncode, None if out is None else out.decode(), None if err is None else err.decode()

    def run_script(self, *arguments, **options):
        return self.outcome(self.start(*arguments, **options))

    def assert_nothing_left(self, *names):
        self.assertEqual(self.names(), sorted(("tokenizer.json", *names)))

    def test_truncation_and_padding_of_the_file_are_not_for_a_corpus(self):
        tokenizer = kinds.made("llama3")
        fixed = json.loads(tokenizer.to_str())
        fixed["truncation"] = {"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0}
        fixed["padding"] = {"strategy": {"Fixed": 16}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": "<unk>"}
        path, text = self.write("fixed.json", json.dumps(fixed)), "a text of more than eight tokens\n" * 3
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        corpus, documents = self.write("a.txt", text), self.write("b.jsonl", json.dumps({"text": text}) + '\n{"text": "a"}\n')
        examples = self.write("c.jsonl", json.dumps({"prompt": text, "completion": text}))
        status, out, err = self.run_script(corpus, documents, examples, "--text", text, tokenizer=path)
        self.assertEqual((status, err), (0, ""))
        self.assertEqual(out.splitlines()[0], ",".join(map(str, tokenizer.encode(text).ids)))  # with what the tokenizer puts before a text
        self.assertEqual(megatron(self.folder / "a"), [ids])
        self.assertEqual(megatron(self.folder / "b"), [ids, tokenizer.encode("a", add_special_tokens=False).ids])
        self.assertEqual(json.loads((self.folder / "c.tokens.jsonl").read_text())["tokens"], ids + ids)

    def test_a_bad_line_ends_it_before_any_file_is_written(self):
        good, bad = self.write("good.txt", "fine"), self.write("bad.jsonl", '{"text": "ok"}\n{"text": null}\n')
        self.write("good.bin", "kept")
        status, out, err = self.run_script(good, bad)
        self.assertEqual((status, out, err), (1, "", f'tokenize: {bad}, line 2: its "text" is null, not text\n'))
        self.assert_nothing_left("good.txt", "good.bin", "bad.jsonl")
        self.assertEqual((self.folder / "good.bin").read_text(), "kept")

    def test_names_and_arguments_that_cannot_be_are_refused_in_a_line(self):
        good, odd = self.write("good.txt", "fine"), "no\nsuch.txt"
        cases = (
            ((good, self.folder / odd), "no\\nsuch.txt: No such file or directory"),
            ((good, self.folder), "it is not a regular file"),
            ((self.folder / "missing/a.txt",), "missing/a.txt: No such file or directory"),
            ((good, "--tokenizer", self.folder / "missing.json"), "cannot use the tokenizer "),
            ((good, "--tokenizer", good), "cannot use the tokenizer "),
            ((good, "--separator", "<none>"), "--separator <none>: "),
            (("--decode", "1,x"), '--decode: "x" is not an id'),
            (("--decode", "99999999999"), '--decode: "99999999999" is not an id'),
            (("--text", b"a\xff"), "--text: its character 2 is not UTF-8"),
        )
        for process, why in [(self.start(*arguments), why) for arguments, why in cases]:
            with self.subTest(why):
                status, out, err = self.outcome(process)
                self.assertEqual((status, out), (1, ""))
                self.assertRegex(err, r"\Atokenize: .*\n\Z")
                self.assertIn(why, err)
        self.assert_nothing_left("good.txt")

    def test_text_and_ids_of_it(self):
        text = "In the é 日本 beginning"
        status, ids, _ = self.run_script("--text", text)
        self.assertEqual((status, ids), (0, ",".join(map(str, kinds.made("gpt2").encode(text).ids)) + "\n"))
        self.assertEqual(self.run_script("--decode", ids.strip()), (0, text + "\n", ""))

    def test_a_signal_leaves_nothing_behind(self):
        long = VERSES * 25
        whole = str(self.folder / "whole.json")
        kinds.made("stripped").save(whole)  # one call of the library, of many seconds
        runs = []
        for number, tokenizer in ((signal.SIGINT, whole), (signal.SIGTERM, None), (signal.SIGHUP, None)):
            runs.append((number, self.start(self.write(f"{number.name}.txt", long), tokenizer=tokenizer)))
        for number, process in runs:
            deadline = time.monotonic() + 30
            while not (self.folder / f"{number.name}.bin.gsnake-partial").exists():
                self.assertIsNone(process.poll(), number)
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.02)
        for number, process in runs:
            begin = time.monotonic()
            process.send_signal(number)
            status, out, err = self.outcome(process)
            self.assertLess(time.monotonic() - begin, 3)
            self.assertEqual((status, out), (128 + number, ""))
            self.assertRegex(err.splitlines()[-1], "^tokenize: (interrupted|ended by SIGTERM|ended by SIGHUP); ")
        self.assert_nothing_left("SIGHUP.txt", "SIGINT.txt", "SIGTERM.txt", "whole.json")

    def test_a_signal_that_was_ignored_stays_ignored(self):
        path = self.write("a.txt", VERSES)
        process = self.start(path, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        while process.poll() is None and not (self.folder / "a.bin.gsnake-partial").exists():
            time.sleep(0.01)
        process.send_signal(signal.SIGHUP)
        self.assertEqual(self.outcome(process)[0], 0)
        self.assert_nothing_left("a.txt", "a.bin", "a.idx")

    def test_a_full_drive_leaves_nothing_behind(self):
        path = self.write("a.txt", VERSES[:100000])
        process = self.start(path, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10000, 10000)))
        self.assertEqual(self.outcome(process), (1, "", f"tokenize: {self.folder}/a.bin.gsnake-partial: File too large\n"))
        self.assert_nothing_left("a.txt")

    def test_a_closed_pipe_does_not_end_it(self):
        a, b = self.write("a.txt", "one"), self.write("b.txt", "two")
        read, write = os.pipe()
        os.close(read)
        self.assertEqual(self.run_script(a, b, stdout=write), (0, None, ""))
        os.close(write)
        self.assertEqual(len(megatron(self.folder / "b")), 1)
        self.assert_nothing_left("a.txt", "a.bin", "a.idx", "b.txt", "b.bin", "b.idx")

    def test_progress_is_shown_on_a_terminal_only(self):
        path = self.write("a.txt", VERSES)
        self.assertEqual(self.run_script(path)[2], "")
        ours, theirs = pty.openpty()
        process = self.start(path, stderr=theirs)
        os.close(theirs)
        shown = b""
        while True:
            try:
                block = os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
            shown += block
        os.close(ours)
        self.assertEqual(self.outcome(process)[0], 0)
        self.assertRegex(shown, rb"\rtokenized .* of 1 MB.*\x1b\[K")
        self.assertTrue(shown.endswith(b"\r\x1b[K"))


if __name__ == "__main__":
    unittest.main()
