"""Tiny models of every family, made by transformers, and what transformers and torch's AdamW make of them."""
import json
import pathlib
import struct

import torch
import transformers

VOCAB = 48
CONTEXT = 32
LENGTH = 12  # tokens a row
ROWS = 2  # rows a micro-batch
MICRO_BATCHES = 2
STEPS = 20
LEARNING_RATE = 1e-3
BETAS = (0.9, 0.95)
EPSILON = 1e-8
WEIGHT_DECAY = 0.1
GREEDY_PROMPT = [7, 3, 18, 41, 5]
GREEDY_TOKENS = CONTEXT - len(GREEDY_PROMPT)

LLAMA3 = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 16}
LINEAR = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}


def decoder(**more):
    shape = dict(vocab_size=VOCAB, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, intermediate_size=24,
                 max_position_embeddings=CONTEXT, bos_token_id=None, eos_token_id=None, tie_word_embeddings=False)
    return {**shape, **more}


def gpt2(**more):
    shape = dict(vocab_size=VOCAB, n_embd=16, n_layer=2, n_head=2, n_positions=CONTEXT, attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0,
                 bos_token_id=None, eos_token_id=None)
    return {**shape, **more}


# name: class of the config, its values, dtype of the file, size of a shard ("" for one file)
FIXTURES = {
    "gpt2": (transformers.GPT2Config, gpt2(), torch.float32, ""),
    "llama": (transformers.LlamaConfig, decoder(rope_parameters=LLAMA3), torch.float32, "12KB"),
    "mistral": (transformers.MistralConfig, decoder(sliding_window=5), torch.bfloat16, ""),
    "qwen2": (transformers.Qwen2Config, decoder(tie_word_embeddings=True), torch.float16, ""),
    "qwen3": (transformers.Qwen3Config, decoder(head_dim=12), torch.bfloat16, "6KB"),
}
# What else is compared where transformers is at hand.
OTHERS = {
    "gpt2_untied_sharded": (transformers.GPT2Config, gpt2(tie_word_embeddings=False, n_inner=40), torch.float32, "12KB"),
    "gpt2_bf16": (transformers.GPT2Config, gpt2(), torch.bfloat16, ""),
    "llama_tied_linear": (transformers.LlamaConfig, decoder(rope_parameters=LINEAR, tie_word_embeddings=True), torch.float16, ""),
    "llama_plain": (transformers.LlamaConfig, decoder(num_key_value_heads=2), torch.bfloat16, "6KB"),
    "mistral_full_tied": (transformers.MistralConfig, decoder(sliding_window=None, tie_word_embeddings=True, head_dim=12), torch.float32, "12KB"),
    "qwen2_sliding": (transformers.Qwen2Config, decoder(use_sliding_window=True, sliding_window=6, max_window_layers=0), torch.float32, ""),
    "qwen3_tied_sliding": (transformers.Qwen3Config,
                           decoder(head_dim=8, tie_word_embeddings=True, use_sliding_window=True, sliding_window=7, max_window_layers=0), torch.float32, ""),
}


def make(folder, spec, seed):
    """Saves a model with weights that no initializer would give, so that every parameter tells."""
    kind, values, dtype, shard = spec
    save(kind(**values), folder, seed, dtype, **({"max_shard_size": shard} if shard else {}))


def save(config, folder, seed, dtype=torch.bfloat16, **how):
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1 and "norm" in name or ".ln_" in name and name.endswith("weight"):
                parameter.uniform_(0.7, 1.3)
            elif parameter.dim() == 1:
                parameter.normal_(0.0, 0.2)
            else:
                parameter.normal_(0.0, 0.15)
    model.to(dtype).save_pretrained(folder, **how)
    for extra in pathlib.Path(folder).glob("generation_config.json"):
        extra.unlink()


def tokens(count, vocab=VOCAB):
    """A sequence with something to learn in it, the same on every machine."""
    state, sequence = 1, []
    for i in range(count):
        state = (state * 1103515245 + 12345) % 2**31
        sequence.append((sequence[-1] * 5 + 3) % vocab if i % 3 and sequence else state // 65536 % vocab)
    return sequence


def all_tokens():
    return tokens(STEPS * MICRO_BATCHES * ROWS * LENGTH + 1)


def write_tokens(path):
    values = all_tokens()
    pathlib.Path(path).write_bytes(struct.pack(f"<{len(values)}H", *values))


def load(folder):
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")


def losses(folder, device="cpu"):
    """Of AdamW's steps in fp32, each over all micro-batches at once: windows one after another, labels shifted by one."""
    model = load(folder).to(device)
    model.train()  # the fixtures drop nothing
    wide = [p for p in model.parameters() if p.dim() >= 2]
    others = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": wide, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=BETAS, eps=EPSILON)
    sequence, result = torch.tensor(all_tokens(), device=device), []
    rows = MICRO_BATCHES * ROWS
    for step in range(STEPS):
        begin = step * rows * LENGTH
        inputs = sequence[begin:begin + rows * LENGTH].view(rows, LENGTH)
        labels = sequence[begin + 1:begin + rows * LENGTH + 1].view(rows, LENGTH)
        loss = torch.nn.functional.cross_entropy(model(inputs).logits.flatten(0, 1).float(), labels.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        result.append(loss.item())
    return result


def greedy(folder, count, prompt=GREEDY_PROMPT):
    """What transformers adds to a prompt with its cache, always the likeliest token; and how far ahead of the next one each was."""
    model = load(folder).eval()
    ids = torch.tensor([prompt])
    with torch.no_grad():
        made = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, use_cache=True, max_new_tokens=count, min_new_tokens=count, pad_token_id=0,
                              output_logits=True, return_dict_in_generate=True)
    best = torch.stack(made.logits)[:, 0].float().topk(2).values
    return {"prompt": prompt, "tokens": made.sequences[0, len(prompt):].tolist(), "margins": (best[:, 0] - best[:, 1]).tolist()}


def config_text(folder, dtype, device="cpu"):
    """The same run for gsnake."""
    budget = "64 MiB" if device == "cpu" else "1 GiB"  # cuBLAS' workspaces alone take 32 MiB a stream
    return f"""
model.from = {json.dumps(str(folder))}
data = {{ train = ["tokens.bin"], order = "sequential" }}
train = {{ steps = {STEPS}, micro_batches = {MICRO_BATCHES}, micro_batch_size = {ROWS}, sequence_length = {LENGTH}, dtype = "{dtype}", compute_threads = 1 }}
optimizer = {{ learning_rate = {LEARNING_RATE}, betas = [{BETAS[0]}, {BETAS[1]}], epsilon = {EPSILON}, weight_decay = {WEIGHT_DECAY} }}
memory = {{ device = "{device}", host_budget = "64 MiB", device_budget = "{budget}" }}
"""
