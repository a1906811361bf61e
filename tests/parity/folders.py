"""Folders as people meet them. Each gives the loss that transformers has with it, or is refused by the name of what is wrong; none gives another loss."""
import json
import pathlib
import shutil

import safetensors.torch
import torch
import transformers

import reference

PUBLISHED = pathlib.Path(__file__).parents[1] / "hf/fixtures/published.json"
LINEAR = {"rope_type": "linear", "factor": 4.0}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
SLIDING, FULL = ["sliding_attention"] * 2, ["full_attention"] * 2

# name: family, keys that are set (... takes one out), what a refusal names (None: it is taken)
CONFIGS = {
    "rope of transformers 4": ("llama", {"rope_parameters": ..., "rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 4.0}}, None),
    "theta in two places, the same": ("llama", {"rope_theta": 5e5, "rope_parameters": {"rope_type": "default", "rope_theta": 5e5}}, None),
    "theta in two places": ("llama", {"rope_theta": 5e5, "rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}, "rope_parameters.rope_theta"),
    "theta outside": ("llama", {"rope_theta": 5e5, "rope_parameters": {"rope_type": "default"}}, None),
    "scaling and parameters": ("llama", {"rope_scaling": LINEAR, "rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}, "rope_parameters"),
    "scaling without theta, parameters with": ("llama", {"rope_scaling": LINEAR, "rope_parameters": {**LINEAR, "rope_theta": 5e5}}, "rope_parameters"),
    "scaling that is empty": ("llama", {"rope_scaling": {}, "rope_parameters": {**LINEAR, "rope_theta": 5e5}}, None),
    "type and rope_type": ("llama", {"rope_parameters": {"rope_type": "default", "type": "linear", "factor": 4.0}}, "rope_parameters.type"),
    "no original length": ("llama", {"rope_parameters": LLAMA3}, None),
    "original length outside": ("llama", {"rope_parameters": LLAMA3, "original_max_position_embeddings": 16}, None),
    "original length in two places": ("llama", {"rope_parameters": {**LLAMA3, "original_max_position_embeddings": 8}, "original_max_position_embeddings": 16},
                                      "original_max_position_embeddings"),
    "not causal": ("llama", {"is_causal": False}, "is_causal"),
    "causal is null": ("qwen2", {"is_causal": None}, "is_causal"),
    "window in a family that has none": ("llama", {"sliding_window": 5}, "sliding_window"),
    "swish": ("llama", {"hidden_act": "swish"}, None),
    "gelu": ("llama", {"hidden_act": "gelu"}, "hidden_act"),
    "no architectures": ("llama", {"architectures": None}, None),
    "a base class": ("llama", {"architectures": ["LlamaModel"]}, None),
    "keys nobody reads": ("llama", {"is_llama_config": True, "activation": "swiglu", "final_logit_softcapping": 30.0, "logit_scale": 3.0, "embedding_multiplier": 2.0}, None),
    "keys of other families": ("mistral", {"attention_bias": True, "mlp_bias": True, "use_sliding_window": False, "max_window_layers": 0}, None),
    "mistral slides by default": ("mistral", {"sliding_window": ...}, None),
    "mistral with types": ("mistral", {"layer_types": SLIDING}, None),
    "mistral with other types": ("mistral", {"layer_types": FULL}, "layer_types"),
    "qwen with types": ("qwen2", {"use_sliding_window": True, "sliding_window": 5, "layer_types": SLIDING}, None),
    "qwen with full types": ("qwen2", {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 0, "layer_types": FULL}, None),
    "qwen that mixes": ("qwen3", {"use_sliding_window": True, "sliding_window": 5, "layer_types": ["full_attention", "sliding_attention"]}, "layer_types"),
    "qwen by layers": ("qwen3", {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1, "layer_types": ...}, "max_window_layers"),
    "gpt2 by other names": ("gpt2", {"n_embd": ..., "n_layer": ..., "hidden_size": 16, "num_hidden_layers": 2}, None),
    "gpt2 by two names": ("gpt2", {"num_hidden_layers": 1}, "num_hidden_layers"),
    "gpt2 with another n_ctx": ("gpt2", {"n_ctx": 5}, None),
    "gpt2 that scales by layer": ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx"),
}


def loss(folder):
    """Of the first step, by transformers."""
    sequence, rows = torch.tensor(reference.all_tokens()), reference.MICRO_BATCHES * reference.ROWS
    inputs = sequence[:rows * reference.LENGTH].view(rows, reference.LENGTH)
    labels = sequence[1:rows * reference.LENGTH + 1].view(rows, reference.LENGTH)
    with torch.no_grad():
        return torch.nn.functional.cross_entropy(reference.load(folder).eval()(inputs).logits.flatten(0, 1).float(), labels.flatten()).item()


def tiny(config):
    """The published keys with sizes of our own."""
    sizes = {"vocab_size": reference.VOCAB, "hidden_size": 16, "n_embd": 16, "num_hidden_layers": 2, "n_layer": 2, "num_attention_heads": 2, "n_head": 2,
             "intermediate_size": 24, "max_position_embeddings": reference.CONTEXT, "n_positions": reference.CONTEXT, "head_dim": 12}
    small = {**config, **{key: value for key, value in sizes.items() if key in config}}
    if "num_key_value_heads" in config:
        small["num_key_value_heads"] = 2 if config["num_key_value_heads"] == config["num_attention_heads"] else 1
    if config.get("sliding_window") is not None:
        small["sliding_window"] = 5
    if "original_max_position_embeddings" in (config.get("rope_scaling") or {}):
        small["rope_scaling"] = {**config["rope_scaling"], "original_max_position_embeddings": 16}
    return small


def change(config, changes):
    config.update(changes)
    return {key: value for key, value in config.items() if value is not ...}


class Folders:
    def __init__(self, folder, attempt, expect):
        """attempt(folder, HF_FOLDER, more settings): status, loss of step 1 and stderr of gsnake."""
        self.folder, self.attempt, self.expect, self.made = pathlib.Path(folder), attempt, expect, 0
        reference.write_tokens(self.folder / "tokens.bin")

    def compare(self, name, folder, refusal=None):
        more = ["--set", "model.dropout=0.0"] if json.loads((folder / "config.json").read_text())["model_type"] == "gpt2" else []
        status, found, told = self.attempt(self.folder, folder, more)
        if refusal is not None:
            return self.expect(status == 5 and refusal in told, f"{name}: refused by {refusal}{'' if status == 5 and refusal in told else told}")
        expected = loss(folder)
        fits = status == 0 and abs(found / expected - 1) <= 1e-5
        self.expect(fits, f"{name}: {'the loss of transformers' if fits else f'status {status}, loss {found}, transformers {expected} {told}'}")

    def make(self, spec, seed=7):
        self.made += 1
        folder = self.folder / f"hf{self.made}"
        reference.make(folder, spec, seed)
        return folder

    def published(self):
        for name, entry in json.loads(PUBLISHED.read_text()).items():
            self.made += 1
            folder = self.folder / f"hf{self.made}"
            folder.mkdir()
            config = tiny(entry["config"])
            (folder / "config.json").write_text(json.dumps(config))
            reference.save(transformers.AutoConfig.from_pretrained(folder), folder, self.made)
            (folder / "config.json").write_text(json.dumps(config))
            self.compare(name, folder)

    def configs(self):
        for name, (family, changes, refusal) in CONFIGS.items():
            folder = self.make((reference.FIXTURES[family][0], reference.FIXTURES[family][1], torch.float32, ""))
            config = json.loads((folder / "config.json").read_text())
            (folder / "config.json").write_text(json.dumps(change(config, changes)))
            self.compare(name, folder, refusal)

    def files(self):
        plain = (transformers.LlamaConfig, reference.decoder(), torch.float32, "")
        sharded = (*plain[:3], "6KB")
        both = self.make(sharded, 1)
        shutil.copy(self.make(plain, 2) / "model.safetensors", both)
        self.compare("a new file beside an older index and its parts", both)
        for part in both.glob("model-*-of-*"):
            part.unlink()
        self.compare("a new file beside an older index", both)
        stray = self.make(sharded, 3)
        for name in ("model-00001-of-00099.safetensors", "consolidated.safetensors", "model.fp16.safetensors"):
            shutil.copy(self.make(plain, 4) / "model.safetensors", stray / name)
        self.compare("parts that the index does not name", stray)
        bare = self.make((*plain[:2], torch.float32, ""), 5)
        (bare / "adapter_config.json").write_text('{"peft_type": "LORA"}')
        self.compare("an adapter", bare, "adapter_config.json")
        tied = self.make((plain[0], reference.decoder(tie_word_embeddings=True), torch.float32, ""), 6)
        model = reference.load(tied)
        headless = self.folder / "headless"
        model.model.save_pretrained(headless)
        self.compare("a tied model saved without its head", headless)
        state = {("lm_head.weight" if name == "model.embed_tokens.weight" else name): tensor for name, tensor in model.state_dict().items() if name != "lm_head.weight"}
        safetensors.torch.save_file(state, tied / "model.safetensors", metadata={"format": "pt"})
        self.compare("a tied model whose embedding is there as the head", tied)
        untied = self.folder / "untied"
        reference.load(self.make(plain, 8)).model.save_pretrained(untied)
        self.compare("an untied model saved without its head", untied, "lm_head.weight is missing")

    def all(self):
        self.published()
        self.configs()
        self.files()
