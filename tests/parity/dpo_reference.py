"""Direct preference optimization (Rafailov et al., 2023) in plain torch: what gsnake's train.objective = "dpo" is compared with.

A pair's loss is -log sigmoid(beta ((pi_c - pi_r) - (ref_c - ref_r))), where each is the sum of the log-probabilities of an answer's tokens (the
chosen's, the rejected's) under the model (pi) or its base without the adapter (ref). A step's loss is the mean over its pairs.
"""
import json

import torch

import adapter_reference as adapters
import reference

BETA = 0.5
PAIRS = 2  # a micro-batch
MICRO_BATCHES = 2
STEPS = 10
LENGTH = 16  # of a row: the longest answer with its prompt is shorter
CASES = {
    "dpo": adapters.Case("llama", learning_rate=4e-3),
    # The head, which gives the log probabilities, has an adapter too, which the reference has not.
    "dpo_head": adapters.Case("llama", "dora", ("q_proj", "v_proj", "lm_head"), trained=True, learning_rate=4e-3),
}


def pairs(size):
    """{prompt, chosen, rejected} as token ids; lengths differ, and the chosen answer goes on as the sequences of reference.tokens() do."""
    count = STEPS * MICRO_BATCHES * PAIRS
    noise, result = iter(reference.tokens(count * 40, size.vocab)[::3]), []
    for i in range(count):
        prompt = [next(noise) for _ in range(1 + i % 5)]
        chosen = []
        for _ in range(2 + i * 7 % 9):
            chosen.append(((chosen or prompt)[-1] * 5 + 3) % size.vocab)
        result.append({"prompt": prompt, "chosen": chosen, "rejected": [next(noise) for _ in range(1 + i * 5 % 8)]})
    return result


def write_pairs(path, size):
    path.write_text("".join(json.dumps(pair) + "\n" for pair in pairs(size)))


def rows(micro_batch):
    """Inputs and labels, (2 pairs, LENGTH): chosen answers, then rejected; the labels of prompts and of the filling are not counted."""
    inputs = torch.zeros(2 * len(micro_batch), LENGTH, dtype=torch.long)
    labels = torch.full_like(inputs, adapters.UNCOUNTED)
    for row, (prompt, answer) in enumerate((pair["prompt"], pair[kind]) for kind in ("chosen", "rejected") for pair in micro_batch):
        sequence = torch.tensor(prompt + answer)
        inputs[row, :len(sequence) - 1] = sequence[:-1]
        labels[row, len(prompt) - 1:len(sequence) - 1] = sequence[len(prompt):]
    return inputs, labels


def log_probabilities(model, inputs, labels):
    """Of each row's answer. What is filled in follows it, so that causal attention sees none of it."""
    logits = model(input_ids=inputs).logits
    return -torch.nn.functional.cross_entropy(logits.transpose(1, 2), labels, ignore_index=adapters.UNCOUNTED, reduction="none").sum(1)


def rewards(model, micro_batch):
    """beta times what the model gains on its reference, of the chosen answers and of the rejected ones."""
    inputs, labels = rows(micro_batch)
    with torch.no_grad(), model.disable_adapter():
        base = log_probabilities(model, inputs, labels)
    gains = log_probabilities(model, inputs, labels) - base
    return (BETA * gains).chunk(2)


def train(model, case, every_pair):
    model.train()  # nothing is dropped
    optimizer = adapters.optimizer_of(model, case)
    result = {"losses": [], "gradient_norms": [], "reward_chosen": [], "reward_rejected": [], "reward_accuracy": [], "reward_margin": []}
    a_step = MICRO_BATCHES * PAIRS
    for step in range(STEPS):
        step_pairs, total, found = every_pair[step * a_step:(step + 1) * a_step], 0.0, []
        for begin in range(0, a_step, PAIRS):
            chosen, rejected = rewards(model, step_pairs[begin:begin + PAIRS])
            loss = -torch.nn.functional.logsigmoid(chosen - rejected).sum() / a_step
            loss.backward()
            total += loss.item()
            found += zip(chosen.tolist(), rejected.tolist())
        result["losses"].append(total)
        result["reward_chosen"].append(sum(chosen for chosen, _ in found) / a_step)
        result["reward_rejected"].append(sum(rejected for _, rejected in found) / a_step)
        result["reward_accuracy"].append(sum(chosen > rejected for chosen, rejected in found) / a_step)
        result["reward_margin"].append(sum(chosen - rejected for chosen, rejected in found) / a_step)
        result["gradient_norms"].append(adapters.update(optimizer, case, step))
    return result


def trained(base, adapter, case, size, folder):
    """Trains from the PEFT folder `adapter`, writes what comes out to `folder` as another, and tells what it found by step."""
    model = adapters.load(base, adapter)
    result = train(model, case, pairs(size))
    adapters.save(model, folder, case)
    return result


def settings(case):
    """As adapter_reference.settings()."""
    own = {"train.steps": STEPS, "train.micro_batches": MICRO_BATCHES, "train.micro_batch_size": PAIRS, "train.sequence_length": LENGTH,
           "train.objective": "dpo", "train.dpo_beta": BETA}
    others = [setting for setting in adapters.settings(case) if setting.split("=")[0] not in own]
    return others + [f"{key}={json.dumps(value)}" for key, value in own.items()]


def config_text(base, case, data, more=()):
    return adapters.config_of(base, json.dumps(data), [*settings(case), *more])
