"""Plain transformers and torch: whole steps of one Llama, with gradient checkpointing, in memory. Started by bench: step.py make|train FILE."""
import json
import pathlib
import sys
import time

import numpy
import torch
from transformers import LlamaConfig, LlamaForCausalLM, logging


def make(work):
    """A folder with initial weights that both programs start from."""
    shape = work["model"]
    config = LlamaConfig(vocab_size=shape["vocab"], hidden_size=shape["hidden"], intermediate_size=shape["intermediate"], num_hidden_layers=shape["layers"],
                         num_attention_heads=shape["heads"], max_position_embeddings=work["sequence_length"], rms_norm_eps=shape["norm_epsilon"],
                         rope_theta=shape["rope_theta"], tie_word_embeddings=False, bos_token_id=0, eos_token_id=0, pad_token_id=None)
    torch.manual_seed(work["seed"])
    LlamaForCausalLM(config).save_pretrained(work["weights"])


def steps_of(work):
    """(micro-batches, rows, tokens) of inputs and labels, as gsnake cuts them from the file."""
    stream = torch.from_numpy(numpy.fromfile(work["tokens"], dtype=numpy.uint16).astype(numpy.int64))
    shape = (work["micro_batches"], work["rows"], work["sequence_length"])
    count = shape[0] * shape[1] * shape[2]
    for step in range(work["steps"]):
        yield stream[step * count:(step + 1) * count].view(shape), stream[step * count + 1:(step + 1) * count + 1].view(shape)


def loss_of(model, inputs, labels, bf16):
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        logits = model(input_ids=inputs, use_cache=False).logits
    return torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), labels.flatten())


def train(work):
    torch.set_num_threads(work["threads"])
    model = LlamaForCausalLM.from_pretrained(work["weights"], dtype=torch.float32, attn_implementation="sdpa")
    model.train()
    if work["checkpointing"]:
        model.gradient_checkpointing_enable()
    chosen = work["optimizer"]
    optimizer = torch.optim.AdamW(model.parameters(), lr=chosen["learning_rate"], betas=chosen["betas"], eps=chosen["epsilon"],
                                  weight_decay=chosen["weight_decay"], fused=True)
    parameters = sum(p.numel() for p in model.parameters())
    print(json.dumps({"event": "start", "parameters": parameters, "versions": {"torch": torch.__version__, "transformers": sys.modules["transformers"].__version__}}), flush=True)
    for inputs, labels in steps_of(work):
        total = 0.0
        for x, y in zip(inputs, labels):
            loss = loss_of(model, x, y, work["bf16"]) / len(inputs)
            loss.backward()
            total += loss.item()
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)
        print(json.dumps({"event": "step", "loss": total}), flush=True)
    time.sleep(0.2)  # so that whoever counts finds the process at its last line


if __name__ == "__main__":
    logging.set_verbosity_error()
    given = json.loads(pathlib.Path(sys.argv[2]).read_text())
    {"make": make, "train": train}[sys.argv[1]](given)
