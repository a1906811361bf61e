"""check.py GSNAKE: every family, imported, trained and exported by the command, beside transformers."""
import io
import json
import logging
import pathlib
import subprocess
import sys
import tempfile
import warnings

import torch
import transformers

import folders
import reference
from driver import Driver, by_step

torch.set_num_threads(1)
transformers.logging.disable_progress_bar()
driver = Driver(sys.argv[1])
run, expect = driver.run, driver.expect


def logits_and_warnings(folder):
    """Loads a folder as a user does; what transformers logs and Python warns of while it does."""
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    logger = logging.getLogger("transformers")
    logger.addHandler(handler)
    transformers.logging.set_verbosity_warning()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model, info = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    logger.removeHandler(handler)
    told = [str(w.message) for w in caught] + log.getvalue().splitlines()
    told += [f"{key}: {value}" for key, value in info.items() if value]
    ids = torch.tensor(reference.all_tokens()[:4 * 24]).view(4, 24)
    with torch.no_grad():
        return model.eval()(ids).logits, told


def losses_of(folder):
    return by_step(folder, "loss")


def attempt(folder, source, more):
    """The first step of a run from a folder: status, loss, what gsnake said."""
    (folder / "run.toml").write_text(reference.config_text(source, "fp32"))
    call = [driver.gsnake, "train", "run.toml", "--resume", "never", "--overwrite", "--set", "train.steps=1", *more]
    result = subprocess.run(call, cwd=folder, capture_output=True, text=True)
    return result.returncode, losses_of(folder)[0] if result.returncode == 0 else None, result.stderr


def compare(name, spec, seed, folder):
    reference.make(folder / "hf", spec, seed)
    reference.write_tokens(folder / "tokens.bin")
    expected = reference.losses(folder / "hf")
    for dtype, first, all_steps in (("fp32", 1e-5, 1e-4), ("bf16", 1e-2, 1e-2)):
        (folder / "run.toml").write_text(reference.config_text(folder / "hf", dtype))
        run("train", "run.toml", "--resume", "never", "--overwrite", folder=folder)
        errors = [abs(a / b - 1) for a, b in zip(losses_of(folder), expected, strict=True)]
        expect(errors[0] <= first and max(errors) <= all_steps, f"{name} {dtype}: loss within {errors[0]:.1e} at step 1, {max(errors):.1e} over {len(errors)} steps")
    made = reference.greedy(folder / "hf", reference.GREEDY_TOKENS)
    ids = ",".join(map(str, made["prompt"]))
    said = json.loads(run("generate", "--model", "hf", "--tokenizer", "bytes", "--prompt-tokens", ids, "--tokens", reference.GREEDY_TOKENS, "--temperature", "0", "--json", folder=folder).stdout)
    expect(said["tokens"] == made["tokens"], f"{name}: greedy tokens equal transformers' (closest two logits {min(made['margins']):.1e} apart)")
    run("import", "--from", "hf", "--run", "imported", "--set", "train.dtype=fp32", folder=folder)
    run("export", "--run", "imported", "--to", "exported", "--dtype", "fp32", "--shard-size", "10 kB" if spec[3] else "5 GB", folder=folder)
    before, _ = logits_and_warnings(folder / "hf")
    after, told = logits_and_warnings(folder / "exported")
    expect(not told, f"{name}: transformers loads the export without a word {told or ''}")
    difference = (before - after).abs().max().item()
    expect(difference <= 1e-5, f"{name}: logits within {difference:.1e}")


def from_scratch(family, folder):
    """A model that never saw transformers loads there, with a config.json of our own."""
    (folder / "run.toml").write_text(f"""
model = {{ family = "{family}", layers = 2, hidden = 32, heads = 4, vocab = {reference.VOCAB}, context = 32, tie_embeddings = false }}
data = {{ train = ["tokens.bin"], order = "sequential" }}
train = {{ steps = 2, micro_batches = 1, sequence_length = 12, dtype = "fp32", compute_threads = 1 }}
memory = {{ host_budget = "64 MiB", device_budget = "64 MiB" }}
""")
    reference.write_tokens(folder / "tokens.bin")
    run("train", "run.toml", folder=folder)
    run("export", "--run", "run", "--to", "exported", folder=folder)
    _, told = logits_and_warnings(folder / "exported")
    expect(not told, f"{family} from scratch: transformers loads the export without a word {told or ''}")
    expected = reference.all_tokens()[24:37]
    run("train", "run.toml", "--set", "train.steps=3", folder=folder)
    with torch.no_grad():
        logits = reference.load(folder / "exported")(torch.tensor(expected[:-1]).view(1, -1)).logits[0]
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(expected[1:])).item()
    error = abs(losses_of(folder)[2] / loss - 1)
    expect(error <= 1e-5, f"{family} from scratch: loss of step 3 within {error:.1e} of the export's")


with tempfile.TemporaryDirectory() as folder:
    folders.Folders(folder, attempt, expect).all()
for seed, (name, spec) in enumerate({**reference.FIXTURES, **reference.OTHERS}.items(), 100):
    with tempfile.TemporaryDirectory() as folder:
        compare(name, spec, seed, pathlib.Path(folder))
for family in ("gpt2", "llama", "mistral", "qwen2", "qwen3"):
    with tempfile.TemporaryDirectory() as folder:
        from_scratch(family, pathlib.Path(folder))
sys.exit(f"{len(driver.failures)} comparisons failed" if driver.failures else 0)
