"""Milliseconds a token of `gsnake generate --model` beside transformers' generate(do_sample=False) with its cache: the same folder, prompt, threads, fp32.

    tests/parity/setup                                   # once: the environment with transformers
    benchmarks/generate/bench [--lengths 16,256,1024] [--save FILE]

The folder has SmolLM2-135M's shape and random weights. The programs take turns, each going first in every other pair; both tell when each token was there, and the time from the first to the
last is divided by how many there were, so that loading and the prompt are left out. gsnake guesses no tokens (a line of its own has what guesses bring, where the text repeats itself); weights are in memory. A last line
has gsnake with budgets too small for the weights, which are then read for every token.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent / "zero_infinity"))

SHAPE = dict(vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3, max_position_embeddings=2048, rope_theta=10000.0,
             tie_word_embeddings=True, rms_norm_eps=1e-5, bos_token_id=0, eos_token_id=None)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", default="16,256,1024", help="tokens of the prompt")
    parser.add_argument("--tokens", type=int, default=48, help="added in a turn")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--layers", type=int, default=SHAPE["num_hidden_layers"])
    parser.add_argument("--gsnake", default=str(ROOT / "build/release/bin/gsnake"))
    parser.add_argument("--save", help="a JSON file")
    parser.add_argument("--child", nargs=2, metavar=("FOLDER", "THREADS"), help=argparse.SUPPRESS)
    return parser.parse_args()


def make(folder, layers):
    import torch
    import transformers
    transformers.logging.disable_progress_bar()
    torch.manual_seed(1)
    model = transformers.AutoModelForCausalLM.from_config(transformers.LlamaConfig(**{**SHAPE, "num_hidden_layers": layers}), dtype=torch.float32)
    model.save_pretrained(folder)


def child(folder, threads):
    """Serves turns of transformers: a line {"prompt": ids, "tokens": n} in, {"tokens": ids, "ms": a token} out."""
    import torch
    import transformers
    torch.set_num_threads(int(threads))
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    class Times(transformers.generation.streamers.BaseStreamer):
        def __init__(self):
            self.at = []

        def put(self, value):
            self.at.append(time.perf_counter())

        def end(self):
            pass

    for line in sys.stdin:
        work = json.loads(line)
        times = Times()
        ids = torch.tensor([work["prompt"]])
        with torch.inference_mode():
            out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, use_cache=True, max_new_tokens=work["tokens"], min_new_tokens=work["tokens"], streamer=times, pad_token_id=0)
        at = times.at[1:]  # the first one is the prompt
        print(json.dumps({"tokens": out[0, ids.shape[1]:].tolist(), "ms": (at[-1] - at[0]) / (len(at) - 1) * 1e3}), flush=True)


def gsnake(options, folder, prompt, tokens, *more):
    call = [options.gsnake, "generate", "--model", folder, "--prompt-tokens", ",".join(map(str, prompt)), "--tokens", str(tokens), "--temperature", "0", "--json", "--log-level", "warn", *more]
    said = json.loads(subprocess.run(call, check=True, capture_output=True, text=True).stdout)
    return {"tokens": said["tokens"], "ms": (said["seconds"] - said["first_token_seconds"]) / (len(said["tokens"]) - 1) * 1e3, "read_bytes": said["read_bytes"], "accepted": said["accepted"]}


def prompt_of(length):
    return [(i * i * 7919 + 13) % SHAPE["vocab_size"] for i in range(length)]


def main():
    options = parse()
    if options.child:
        return child(*options.child)
    import os
    threads = len(os.sched_getaffinity(0))
    results = []
    with tempfile.TemporaryDirectory() as folder:
        make(folder, options.layers)
        peer = subprocess.Popen([sys.executable, "-B", __file__, "--child", folder, str(threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

        def theirs(prompt):
            peer.stdin.write(json.dumps({"prompt": prompt, "tokens": options.tokens}) + "\n")
            peer.stdin.flush()
            return json.loads(peer.stdout.readline())

        print(f"{options.layers} blocks, {threads} threads, {options.tokens} tokens a turn, median of {options.pairs} pairs (least to most)")
        print(f"{'prompt':>8} {'gsnake':>24} {'transformers':>24} {'ratio':>7}  tokens")
        for length in map(int, options.lengths.split(",")):
            prompt = prompt_of(length)
            theirs(prompt)
            pairs = []
            for turn in range(options.pairs):
                both = {}
                for name in ("gsnake", "transformers") if turn % 2 else ("transformers", "gsnake"):
                    both[name] = gsnake(options, folder, prompt, options.tokens, "--no-drafts") if name == "gsnake" else theirs(prompt)
                pairs.append(both)
            ms = {name: [pair[name]["ms"] for pair in pairs] for name in ("gsnake", "transformers")}
            ratio = statistics.median(pair["transformers"]["ms"] / pair["gsnake"]["ms"] for pair in pairs)
            same = all(pair["gsnake"]["tokens"] == pair["transformers"]["tokens"] for pair in pairs)
            shown = {name: f"{statistics.median(of):.1f} ms ({min(of):.1f} to {max(of):.1f})" for name, of in ms.items()}
            print(f"{length:>8} {shown['gsnake']:>24} {shown['transformers']:>24} {ratio:>7.2f}  {'equal' if same else 'DIFFERENT'}", flush=True)
            results.append({"prompt": length, "ms": ms, "ratio": ratio, "tokens_equal": same})
        peer.stdin.close()
        peer.wait()
        repeating = prompt_of(8) * 16
        guessed = gsnake(options, folder, repeating, options.tokens)
        print(f"with guesses, a prompt that repeats itself: {guessed['ms']:.1f} ms a token, {guessed['accepted']} of {options.tokens} tokens were guessed")
        small = ("--no-drafts", "--set", "memory.device_budget=256 MiB", "--set", "memory.host_budget=64 MiB")
        read = gsnake(options, folder, prompt_of(16), options.tokens, *small)
        first = gsnake(options, folder, prompt_of(16), 2, *small)  # with what is read once, and stays
        print(f"weights read for every token: {read['ms']:.1f} ms a token, {(read['read_bytes'] - first['read_bytes']) / (options.tokens - 2) / 1e6:.0f} MB a token")
    if options.save:
        import results as machine_results
        pathlib.Path(options.save).write_text(json.dumps({"command": "benchmarks/generate/bench", "machine": machine_results.machine("."), "threads": threads, "layers": options.layers, "tokens": options.tokens,
                                                          "lengths": results, "guesses": guessed, "reading": read}, indent=1) + "\n")
    return 0


sys.exit(main())
