"""check.py GSNAKE MODEL PYTHON: the commands of docs/fine-tune.md, as they stand there, on a real model and the conversations beside this file.

Fewer and shorter steps than the guide's are asked for, and greedy answers. PYTHON, which may be absent, has transformers and PEFT."""
import json
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile

from guide import Guide

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]
GSNAKE, MODEL, PYTHON = (pathlib.Path(argument).absolute() for argument in sys.argv[1:4])
PROGRAMS = {"scripts/tokenize": ROOT / "scripts/tokenize", "build/release/bin/gsnake": GSNAKE}
SETTINGS = ("train.steps=10", "train.micro_batches=2", "train.sequence_length=256", "optimizer.learning_rate=1e-3")
MORE = {"train": [word for setting in SETTINGS for word in ("--set", setting)], "generate": ["--tokens", "8", "--temperature", "0"]}
FORM = "Short answer:"  # of all the conversations' answers
FALL = 0.35  # of the first loss, by the last steps

failures = []


def expect(condition, message):
    print(("ok    " if condition else "FAILED ") + message, flush=True)
    if not condition:
        failures.append(message)


def run(words, folder):
    """stdout of a command of the guide, by this tree's program in place of the one that lies in the reader's folder."""
    call = [PROGRAMS[words[0]], *words[1:], *MORE.get(words[1], ())]
    print("$", shlex.join(map(str, call)), flush=True)
    result = subprocess.run(call, cwd=folder, text=True, capture_output=True)
    if result.returncode != 0:
        raise SystemExit(f"status {result.returncode}\n{result.stderr}")
    return result.stdout


def steps_of(path):
    return [line["loss"] for line in map(json.loads, path.read_text().splitlines()) if "event" not in line]


def trained(folder, run_dir):
    losses = steps_of(folder / run_dir / "metrics.jsonl")
    first, last = losses[0], sum(losses[-3:]) / 3
    expect(last < FALL * first, f"training: the loss falls from {first:.3f} to {last:.3f}")


def carried(folder):
    """The tokenizer and its template, for those who take the model from here."""
    for name in ("tokenizer.json", "tokenizer_config.json"):
        expect((folder / name).read_bytes() == (MODEL / name).read_bytes(), f"{folder.name}: has the model's {name}")


def main(folder):
    guide = Guide((ROOT / "docs/fine-tune.md").read_text())
    (folder / "hf").symlink_to(MODEL)
    (folder / "chat.jsonl").write_bytes((HERE / "conversations.jsonl").read_bytes())
    (folder / guide.name).write_text(guide.config)
    expect(len(guide.commands) == 5, f"the guide has five commands: {len(guide.commands)}")
    said = {words[1]: run(words, folder) for words in guide.commands}

    run_dir = guide.option("generate", "--run")
    trained(folder, run_dir)
    answer = said["generate"].removeprefix(guide.option("generate", "--prompt"))
    expect(answer.startswith(FORM), f"gsnake generate answers as it was taught: {answer.strip()!r}")
    merged = folder / guide.option("export", "--to")
    carried(merged)
    run(["build/release/bin/gsnake", "export", "--run", run_dir, "--to", "adapter"], folder)
    carried(folder / "adapter")

    if not os.access(PYTHON, os.X_OK):
        return print("transformers is not installed, so that nothing else loads the folders; tests/parity/setup installs it")
    loaded = subprocess.run([PYTHON, "-B", HERE / "answers.py", MODEL, merged, folder / "adapter", FORM])
    expect(loaded.returncode == 0, "transformers and PEFT load what was made")


with tempfile.TemporaryDirectory() as temporary:
    main(pathlib.Path(temporary))
sys.exit(f"{len(failures)} checks failed" if failures else 0)
