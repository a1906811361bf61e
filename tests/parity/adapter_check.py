"""adapter_check.py GSNAKE [CASE]...: adapters trained by the command, out of PEFT's folders and its own, beside PEFT; and what they merge to."""
import math
import pathlib
import sys
import tempfile

import torch
import transformers

import adapter_reference as adapters
import dpo_reference
import reference
from driver import Driver, by_step

# What is allowed, and by how much PEFT in fp64 differs from PEFT in fp32.
LOSS = 1e-6  # relative, each step; 2e-7
DPO_LOSS = 1e-5  # the same; 9e-7: differences of sums over answers
REWARD = 1e-5  # of each step's means
NORM = 1e-5  # of the gradient, the same; 1e-6
UPDATE = 5e-4  # of each tensor's change, by the norm; 1e-4
MERGED = 1e-6  # of each tensor's largest element; 2e-7
SIZE = adapters.FULL

torch.set_num_threads(1)
transformers.logging.disable_progress_bar()
driver = Driver(sys.argv[1])
run, expect = driver.run, driver.expect


def worst(ours, theirs):
    return max(abs(a - b) / abs(b) for a, b in zip(ours, theirs, strict=True))


def worst_tensor(ours, theirs, scale):
    """The largest of scale(name, difference) and the tensor's name."""
    return max((scale(name, ours[name].double() - theirs[name].double()), name) for name in theirs)


def train(folder, text):
    (folder / "run.toml").write_text(text)
    run("train", "run.toml", "--resume", "never", "--overwrite", folder=folder)


def same_steps(name, folder, expected, allowed=LOSS):
    loss, norm = worst(by_step(folder, "loss"), expected["losses"]), worst(by_step(folder, "grad_norm"), expected["gradient_norms"])
    expect(loss <= allowed, f"{name}: losses within {loss:.1e} over {len(expected['losses'])} steps")
    expect(norm <= NORM, f"{name}: gradient norms within {norm:.1e}")


def export(name, folder, base, to):
    """Whether PEFT takes the exported adapter, all of it and nothing else, without a word."""
    run("export", "--run", "run", "--to", to, folder=folder)
    try:
        adapters.load(base, folder / to)
    except Exception as error:  # whatever PEFT or a warning of it raises
        expect(False, f"{name}: PEFT does not load the export: {error}")
        return False
    return True


def same_adapter(name, folder, initial, expected, found):
    first, theirs, ours = (adapters.tensors(folder / part) for part in (initial, expected, found))
    if set(ours) != set(theirs):
        return expect(False, f"{name}: adapter has {sorted(set(ours) - set(theirs))} over, {sorted(set(theirs) - set(ours))} under")
    error, at = worst_tensor(ours, theirs, lambda key, difference: (difference.norm() / (theirs[key] - first[key]).double().norm()).item())
    expect(error <= UPDATE, f"{name}: adapter within {error:.1e} of its update ({at})")


def same_merged(name, folder, base, found):
    run("export", "--run", "run", "--to", "merged", "--merge", folder=folder)
    theirs, ours = adapters.merged(base, folder / found), reference.load(folder / "merged").state_dict()
    if set(ours) != set(theirs):
        return expect(False, f"{name}: merged model has {sorted(set(ours) ^ set(theirs))} in one of both")
    error, at = worst_tensor(ours, theirs, lambda key, difference: (difference.abs().max() / theirs[key].double().abs().max()).item())
    expect(error <= MERGED, f"{name}: merged as PEFT does, within {error:.1e} ({at})")


def fresh(name, folder, base, found):
    """A new adapter starts as PEFT's do: A as torch's Linear, B zero, magnitudes the lengths of the weight's rows, whole modules the model's."""
    tensors, model, draws, odd = adapters.tensors(folder / found), reference.load(base).state_dict(), [], []
    for key, tensor in tensors.items():
        module, _, part = key.removeprefix("base_model.model.").partition(".lora_")
        weight = model[module] if not part else model[module + ".weight"]
        if part == "A.weight":
            draws.append(tensor.flatten() * math.sqrt(tensor.shape[1]))  # uniform over -1..1
        elif part == "B.weight":
            odd += [key] if tensor.any() else []
        elif part == "magnitude_vector":
            lengths = torch.linalg.norm(weight.T if name.startswith("gpt2") else weight, dim=1)
            odd += [] if torch.allclose(tensor, lengths, rtol=1e-6, atol=0) else [key]
        else:
            odd += [] if torch.equal(tensor, weight) else [key]
    expect(not odd, f"{name}: starts as PEFT does {odd or ''}")
    drawn = torch.cat(draws)
    moments = [drawn.mean().item(), drawn.std().item() * math.sqrt(3), drawn.abs().max().item()]
    uniform = abs(moments[0]) < 5 / math.sqrt(3 * drawn.numel()) and abs(moments[1] - 1) < 0.1 and 0.95 < moments[2] <= 1.0000001
    expect(uniform, f"{name}: A is drawn from +-1/sqrt(in): mean, spread and largest are {', '.join(f'{m:.3f}' for m in moments)} (0, 1, 1)")
    expect(len({draw[:8].sum().item() for draw in draws}) == len(draws), f"{name}: no two A are the same")


def follow(name, case, folder, base, initial, more):
    expected = adapters.trained(base, folder / initial, case, SIZE, folder / "expected")
    train(folder, adapters.config_text(base, case, more))
    same_steps(name, folder, expected)
    if export(name, folder, base, "final"):
        same_adapter(name, folder, initial, "expected", "final")
        same_merged(name, folder, base, "final")


def from_peft(name, case, folder, base):
    adapters.make_adapter(base, folder / "initial", case, 8)  # of 7, qwen3_lora has one element that is near enough to zero at first for Adam to turn on rounding
    follow(f"{name} from PEFT's adapter", case, folder, base, "initial", [f'adapter.from="{folder / "initial"}"'])


def from_own(name, case, folder, base):
    still = ["train.steps=1", "optimizer.learning_rate=0.0"]
    text = adapters.config_text(base, case)
    lines = [line for line in text.splitlines() if not line.startswith(("train.steps=", "optimizer.learning_rate="))]
    train(folder, "\n".join(lines + still) + "\n")
    if export(f"{name}, new", folder, base, "own"):
        fresh(f"{name}, new", folder, base, "own")
        follow(f"{name} from its own adapter", case, folder, base, "own", [])


def prepared(folder, case):
    adapters.make_model(folder / "hf", case.model, SIZE)
    adapters.write_tokens(folder, SIZE)
    return folder / "hf"


def compare(name, case):
    for way in [from_peft] if case.trained else [from_peft, from_own]:
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            try:
                way(name, case, folder, prepared(folder, case))
            except SystemExit as error:  # the command failed: the other cases still tell something
                expect(False, f"{name}: {error}")


def compare_preferences(name, case):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        base = prepared(folder, case)
        adapters.make_adapter(base, folder / "initial", case, 7)
        dpo_reference.write_pairs(folder / "pairs.jsonl", SIZE)
        expected = dpo_reference.trained(base, folder / "initial", case, SIZE, folder / "expected")
        try:
            train(folder, dpo_reference.config_text(base, case, "pairs.jsonl", [f'adapter.from="{folder / "initial"}"']))
            same_steps(name, folder, expected, DPO_LOSS)
            for reward in ("reward_chosen", "reward_rejected", "reward_accuracy", "reward_margin"):
                error = max(abs(a - b) for a, b in zip(by_step(folder, reward), expected[reward], strict=True))
                expect(error <= REWARD, f"{name}: {reward} within {error:.1e}")
            if export(name, folder, base, "final"):
                same_adapter(name, folder, "initial", "expected", "final")
        except SystemExit as error:
            expect(False, f"{name}: {error}")


every_case = {**adapters.CASES, **adapters.OTHERS}
chosen = sys.argv[2:] or [*every_case, *dpo_reference.CASES]
for case_name in chosen:
    if case_name in dpo_reference.CASES:
        compare_preferences(case_name, dpo_reference.CASES[case_name])
    elif case_name in every_case:
        compare(case_name, every_case[case_name])
    else:
        sys.exit(f"{case_name}: no such case; one of {', '.join([*every_case, *dpo_reference.CASES])}")
sys.exit(f"{len(driver.failures)} comparisons failed" if driver.failures else 0)
