"""Adapters as PEFT trains them on transformers' models, with torch's AdamW: the losses, gradient norms and tensors that gsnake's are compared with."""
import contextlib
import dataclasses
import json
import pathlib
import struct
import warnings

import peft
import safetensors.torch
import torch
import transformers

import reference

LENGTH = 12  # tokens a row
ROWS = 2  # rows a micro-batch
MICRO_BATCHES = 2
STEPS = 20
UNCOUNTED = -100


@dataclasses.dataclass(frozen=True)
class Size:
    hidden: int
    intermediate: int
    vocab: int


FIXTURE = Size(hidden=32, intermediate=48, vocab=64)  # what is committed
FULL = Size(hidden=64, intermediate=96, vocab=256)  # where PEFT is at hand


@dataclasses.dataclass(frozen=True)
class Case:
    """One adapter and how it is trained. `targets` and `whole` are Hugging Face's names; "all-linear" is gsnake's "linear"."""

    model: str
    variant: str = "lora"
    targets: object = "all-linear"
    whole: tuple = ()
    trained: bool = False  # starts from an adapter that has changed the model already: B not zero, magnitudes not the rows' lengths
    masked: bool = False  # micro-batches count different numbers of tokens
    rank: int = 4
    alpha: float = 8.0
    learning_rate: float = 2e-3
    warmup_steps: int = 0
    clipping: float = 0.0


MODELS = {
    "gpt2": lambda size: transformers.GPT2Config(**reference.gpt2(vocab_size=size.vocab, n_embd=size.hidden, n_head=4)),
    "llama": lambda size: decoder(transformers.LlamaConfig, size, rope_parameters=reference.LLAMA3),
    "llama_tied": lambda size: decoder(transformers.LlamaConfig, size, tie_word_embeddings=True),
    "mistral": lambda size: decoder(transformers.MistralConfig, size, sliding_window=5),
    "qwen2": lambda size: decoder(transformers.Qwen2Config, size, tie_word_embeddings=True),
    "qwen3": lambda size: decoder(transformers.Qwen3Config, size, head_dim=12),
}

# Committed as fixtures, and run by the command where PEFT is at hand.
CASES = {
    "gpt2_lora": Case("gpt2"),
    "gpt2_dora": Case("gpt2", "dora", ("c_attn",), trained=True),
    "llama_lora": Case("llama", clipping=0.5),
    "llama_dora": Case("llama", "dora", warmup_steps=5),
    "llama_whole": Case("llama", "rslora", ("q_proj", "v_proj"), ("embed_tokens", "lm_head"), masked=True),
    "mistral_rslora": Case("mistral", "rslora", ("q_proj", "v_proj"), trained=True),
    "qwen2_tied_whole": Case("qwen2", whole=("embed_tokens",)),
    "qwen3_norms": Case("qwen3", "dora", ("q_proj", "v_proj"), ("norm",)),
}
# What else is compared where PEFT is at hand.
OTHERS = {
    "gpt2_rslora": Case("gpt2", "rslora", ("c_attn",)),
    "gpt2_whole": Case("gpt2", targets=("c_attn",), whole=("wte", "lm_head", "ln_f")),
    "llama_tied": Case("llama_tied", "dora", trained=True, masked=True),
    "llama_attention": Case("llama", targets=("q_proj", "v_proj")),
    "mistral_lora": Case("mistral", warmup_steps=3, clipping=0.25),
    "mistral_dora": Case("mistral", "dora", trained=True),
    "qwen2_rslora": Case("qwen2", "rslora"),
    "qwen2_dora": Case("qwen2", "dora", ("q_proj", "v_proj")),
    "qwen3_lora": Case("qwen3"),
}


def decoder(kind, size, **more):
    return kind(**reference.decoder(vocab_size=size.vocab, hidden_size=size.hidden, intermediate_size=size.intermediate, num_attention_heads=4,
                                    num_key_value_heads=2, **more))


def make_model(folder, name, size):
    reference.save(MODELS[name](size), folder, 1 + list(MODELS).index(name), torch.float32)


# --- tokens ---------------------------------------------------------------------------------------------------------------------------------

def all_tokens(size):
    return reference.tokens(STEPS * MICRO_BATCHES * ROWS * LENGTH + 1, size.vocab)


def all_mask():
    """Whether each token counts: about two of three, unevenly spread over micro-batches."""
    return [int(i % 7 != 3 and i // LENGTH % 4 != 2 or i % 5 == 0) for i in range(len(all_tokens(FIXTURE)))]


def write_tokens(folder, size):
    values = all_tokens(size)
    (folder / "tokens.bin").write_bytes(struct.pack(f"<{len(values)}H", *values))
    (folder / "tokens.mask").write_bytes(bytes(all_mask()))


def batches(size, masked):
    """Steps of micro-batches of (inputs, labels): windows one after another, labels shifted by one."""
    sequence = torch.tensor(all_tokens(size))
    labels = torch.where(torch.tensor(all_mask()) == 1, sequence, UNCOUNTED) if masked else sequence
    shape = (STEPS, MICRO_BATCHES, ROWS, LENGTH)
    return list(zip(sequence[:-1].view(shape), labels[1:].view(shape)))


# --- adapters -------------------------------------------------------------------------------------------------------------------------------

def lora_config(case):
    targets = case.targets if isinstance(case.targets, str) else list(case.targets)
    return peft.LoraConfig(task_type="CAUSAL_LM", r=case.rank, lora_alpha=case.alpha, lora_dropout=0.0, target_modules=targets,
                           modules_to_save=list(case.whole) or None, use_rslora=case.variant == "rslora", use_dora=case.variant == "dora",
                           fan_in_fan_out=case.model == "gpt2", ensure_weight_tying=bool(EMBEDDINGS & set(case.whole)) and is_tied(case.model))


EMBEDDINGS = {"embed_tokens", "wte", "lm_head"}


def is_tied(model):
    return MODELS[model](FIXTURE).tie_word_embeddings


@contextlib.contextmanager
def no_complaints():
    """PEFT only warns of tensors that are missing and the like."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=FutureWarning)
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing")
        yield


def save(model, folder, case):
    """As PEFT does, without the model card, the same bytes each time, the base by its mere name; and with the modules trained whole as they were
    asked for: of a tied pair PEFT writes the embedding alone, and then does not tie GPT-2's, `wte`, when it loads that."""
    with no_complaints():
        model.save_pretrained(folder, save_embedding_layers=False)  # "auto" looks for the base where it may be on the net
    (folder / "README.md").unlink()
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    config["base_model_name_or_path"] = case.model
    config["modules_to_save"] = list(case.whole) or None
    if isinstance(config["target_modules"], list):
        config["target_modules"].sort()
    path.write_text(json.dumps(config, indent=2) + "\n")


def make_adapter(base, folder, case, seed):
    """PEFT's own start (A random, B zero), or one that has been trained."""
    torch.manual_seed(seed)
    with no_complaints():
        model = peft.get_peft_model(reference.load(base), lora_config(case))
    if case.trained:
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_B" in name:
                    parameter.normal_(0.0, 0.05)
                elif "lora_magnitude_vector" in name:
                    parameter.mul_(torch.empty_like(parameter).uniform_(0.8, 1.2))
    save(model, folder, case)


def load(base, adapter, trainable=True):
    """Fails where PEFT would only warn, and where a tensor of the file is no part of the model."""
    with no_complaints():
        model = peft.PeftModel.from_pretrained(reference.load(base), adapter, is_trainable=trainable)
    given, taken = tensors(adapter), peft.get_peft_model_state_dict(model, save_embedding_layers=False)
    if set(given) != set(taken):
        raise ValueError(f"{adapter}: left over {sorted(set(given) - set(taken))}, missing {sorted(set(taken) - set(given))}")
    return model


def tensors(adapter):
    return safetensors.torch.load_file(pathlib.Path(adapter) / "adapter_model.safetensors")


def tensors_of_model(folder):
    return safetensors.torch.load_file(pathlib.Path(folder) / "model.safetensors")


def merged(base, adapter):
    """The tensors of PEFT's merge_and_unload(), by transformers' names."""
    return load(base, adapter, trainable=False).merge_and_unload().state_dict()


# --- training -------------------------------------------------------------------------------------------------------------------------------

def optimizer_of(model, case):
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [{"params": [p for p in parameters if p.dim() >= 2], "weight_decay": reference.WEIGHT_DECAY},
              {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=case.learning_rate, betas=reference.BETAS, eps=reference.EPSILON)


def update(optimizer, case, step):
    """With gradients in place; the norm before clipping."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    norm = torch.nn.utils.clip_grad_norm_(parameters, case.clipping or float("inf"))
    for group in optimizer.param_groups:
        group["lr"] = case.learning_rate * min(1.0, (step + 1) / max(1, case.warmup_steps))
    optimizer.step()
    optimizer.zero_grad()
    return norm.item()


def train(model, case, steps):
    """Losses and gradient norms of `steps`, each the mean over the tokens that the step counts, summed over its micro-batches one by one."""
    model.train()  # nothing is dropped
    optimizer, losses, norms = optimizer_of(model, case), [], []
    for step, (inputs, labels) in enumerate(steps):
        counted, total = (labels != UNCOUNTED).sum(), 0.0
        for micro_inputs, micro_labels in zip(inputs, labels):
            logits = model(input_ids=micro_inputs).logits
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), micro_labels.flatten(), ignore_index=UNCOUNTED, reduction="sum") / counted
            loss.backward()
            total += loss.item()
        losses.append(total)
        norms.append(update(optimizer, case, step))
    return losses, norms


def trained(base, adapter, case, size, folder):
    """Trains from the PEFT folder `adapter`, writes what comes out to `folder` as another, and tells losses and norms."""
    model = load(base, adapter)
    losses, norms = train(model, case, batches(size, case.masked))
    save(model, folder, case)
    return {"losses": losses, "gradient_norms": norms}


# --- the same for gsnake --------------------------------------------------------------------------------------------------------------------

def settings(case):
    """As KEY=VALUE, values in TOML: what `gsnake train --set` takes, and, a line each, a config."""
    targets = ["linear"] if case.targets == "all-linear" else list(case.targets)
    values = {
        "train.steps": STEPS, "train.micro_batches": MICRO_BATCHES, "train.micro_batch_size": ROWS, "train.sequence_length": LENGTH,
        "train.dtype": "fp32", "train.compute_threads": 1,
        "optimizer.learning_rate": case.learning_rate, "optimizer.warmup_steps": case.warmup_steps, "optimizer.gradient_clipping": case.clipping,
        "optimizer.betas": list(reference.BETAS), "optimizer.epsilon": reference.EPSILON, "optimizer.weight_decay": reference.WEIGHT_DECAY,
        "adapter.rank": case.rank, "adapter.alpha": case.alpha, "adapter.variant": case.variant, "adapter.targets": targets,
        "adapter.train_whole": list(case.whole),
    }
    return [f"{key}={json.dumps(value)}" for key, value in values.items()]


def config_of(base, data, more):
    lines = [f"model.from={json.dumps(str(base))}", f"data.train=[{data}]", 'data.order="sequential"', 'memory.host_budget="64 MiB"',
             'memory.device_budget="64 MiB"', *more]
    return "\n".join(lines) + "\n"


def config_text(base, case, more=()):
    """With tokens.bin and tokens.mask beside it."""
    data = '{ path = "tokens.bin", mask = "tokens.mask" }' if case.masked else '"tokens.bin"'
    return config_of(base, data, [*settings(case), *more])
