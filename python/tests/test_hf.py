"""Transformers models taken apart, against transformers itself."""

import copy
import json

import pytest
import torch

import greedysnake as gs
from greedysnake import hf

transformers = pytest.importorskip("transformers")
VOCAB = 96
SMALL = {"vocab_size": VOCAB, "hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
         "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
MODELS = {
    "gemma2": lambda: (transformers.Gemma2ForCausalLM, transformers.Gemma2Config(**SMALL, head_dim=12, sliding_window=8, attn_implementation="eager")),
    "olmo2": lambda: (transformers.Olmo2ForCausalLM, transformers.Olmo2Config(**SMALL, tie_word_embeddings=False)),
    "granite": lambda: (transformers.GraniteForCausalLM, transformers.GraniteConfig(**SMALL, embedding_multiplier=3.0, logits_scaling=2.0, residual_multiplier=0.5)),
    "gpt_neox": lambda: (
        transformers.GPTNeoXForCausalLM,
        transformers.GPTNeoXConfig(**{key: value for key, value in SMALL.items() if key != "num_key_value_heads"}, hidden_dropout=0.0, attention_dropout=0.0),
    ),
    "gpt2": lambda: (transformers.GPT2LMHeadModel, transformers.GPT2Config(vocab_size=VOCAB, n_embd=48, n_layer=3, n_head=4, n_positions=64, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0)),
}


def reference_losses(model_class, config, weights, batches, rate):
    """transformers' own model in memory, torch.optim.AdamW with the library's defaults."""
    model = model_class(copy.deepcopy(config))
    model.load_state_dict(weights, strict=True)
    decayed = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}], lr=rate, betas=(0.9, 0.95), eps=1e-8)
    losses = []
    for inputs, labels in batches:
        count = (labels != -100).sum()
        total = 0.0
        for ids, wanted in zip(inputs, labels):
            logits = model(input_ids=ids, use_cache=False).logits
            loss = torch.nn.functional.cross_entropy(logits.view(-1, VOCAB), wanted.view(-1), reduction="sum") / count
            loss.backward()
            total += loss.item()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(total)
    return losses


def state_dict_of(trainer, model, skeleton):
    """The weights under transformers' names."""
    state = {}
    for unit, kind in enumerate(model.unit_kinds):
        values = trainer.weights(unit)
        for number, (parameter, name) in model.tensor_names:
            if number == kind and parameter in values:
                state[name.replace("{}", str(unit - 1))] = values[parameter].clone()
    for name, value in skeleton.state_dict().items():
        if name not in state and name == "lm_head.weight":
            state[name] = state[next(key for key in skeleton._tied_weights_keys.values() if key in state)]
        elif name not in state:
            state[name] = value
    return state


@pytest.mark.parametrize("name", MODELS)
def test_losses_are_those_of_transformers(name, settings, batches):
    model_class, config = MODELS[name]()
    data = batches(6)
    model = hf.units(model_class, config)
    with gs.Trainer(settings(train__delay=0.5, train__compute_dtype="fp32"), model) as trainer:
        trainer.commit()
        weights = state_dict_of(trainer, model, model_class(copy.deepcopy(config)))
        losses = [trainer.step(*batch).loss for batch in data]
    assert losses == pytest.approx(reference_losses(model_class, config, weights, data, 1e-3), rel=1e-6)
    assert losses[-1] != losses[0]


def test_templates_without_memory_train_to_the_same_losses(settings, batches, tmp_path, monkeypatch):
    """As units of a large model have them: parameters take none, and buffers, Gemma's scale among them, are real."""
    runs = []
    for name in ("real", "meta"):
        if name == "meta":
            monkeypatch.setattr("greedysnake.model._SMALL", 0)
        model = hf.units(*MODELS["gemma2"]())
        assert all(parameter.is_meta for kind in model.make_kinds() for parameter in kind.module.parameters()) == (name == "meta")
        config = settings(train__compute_dtype="fp32", run__dir=str(tmp_path / name), ssd__paths=[str(tmp_path / f"{name}-ssd")])
        with gs.Trainer(config, model) as trainer:
            runs.append([trainer.step(*batch).loss for batch in batches(2)])
    assert runs[0] == runs[1]


def test_layers_that_differ_are_kinds_of_their_own():
    gemma = hf.units(*MODELS["gemma2"]())
    assert len(gemma.make_kinds()) == 4 and gemma.unit_kinds[1:5] == [1, 2, 1, 2]
    assert len(hf.units(*MODELS["olmo2"]()).make_kinds()) == 3


@pytest.mark.parametrize("name", ["gemma2", "olmo2"])
def test_weights_come_from_a_folder_and_go_to_one(name, settings, batches, tmp_path):
    model_class, config = MODELS[name]()
    original = model_class(copy.deepcopy(config))
    original.save_pretrained(tmp_path / "from", max_shard_size="40KB")
    model = hf.units(model_class, config, weights=tmp_path / "from")
    (batch,) = batches(1)
    with gs.Trainer(settings(), model) as trainer:
        trainer.commit()
        given = original.state_dict()
        for key, value in state_dict_of(trainer, model, original).items():
            assert torch.equal(value, given[key]), key
        trainer.step(*batch)
    run = settings()["run"]["dir"]
    gs.export_weights(run, tmp_path / "to", model, config_json=json.dumps(config.to_dict(), default=str), ssd_paths=settings()["ssd"]["paths"])
    exported = model_class.from_pretrained(tmp_path / "to", attn_implementation=config._attn_implementation, dtype=torch.float32)
    with torch.no_grad():
        logits = exported(input_ids=batch[0][0], use_cache=False).logits
    assert torch.isfinite(logits).all()
    assert not torch.equal(exported.state_dict()["model.embed_tokens.weight"], given["model.embed_tokens.weight"])


def test_a_folder_that_lacks_a_tensor_is_refused(settings, tmp_path):
    model_class, config = MODELS["olmo2"]()
    model_class(copy.deepcopy(config)).save_pretrained(tmp_path / "from")
    config.num_hidden_layers = 5
    if getattr(config, "layer_types", None):
        config.layer_types = ["full_attention"] * 5
    with pytest.raises(gs.InputError, match=r"layers\.4\."):
        gs.Trainer(settings(), hf.units(model_class, config, weights=tmp_path / "from"))


def test_a_model_of_another_make_is_refused():
    config = transformers.T5Config(d_model=16, d_ff=16, num_layers=1, num_heads=2, vocab_size=32)
    with pytest.raises(gs.UsageError, match="taken apart"):
        hf.units(transformers.T5ForConditionalGeneration, config)
