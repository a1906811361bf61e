"""Texts that models go on with."""

import json
import math

import pytest
import torch

import greedysnake as gs
import models

BUILT_IN = {"model__family": "llama", "model__layers": 2, "model__hidden": 32, "model__heads": 2, "model__vocab": 96, "model__context": 64}


def trained(config, model, batches):
    with gs.Trainer(config, model) as trainer:
        for batch in batches(3):
            trainer.step(*batch)
        trainer.commit()
        return [trainer.weights(unit) for unit in range(-5, 0)] if model else None


def greedy(weights, prompt, count):
    """By the same modules in memory, the whole text for each token."""
    units = models.modules_of("llama")
    with torch.no_grad():
        for unit, values in zip(units, weights):
            for name, parameter in unit.named_parameters():
                parameter.copy_(values[name])
        tokens = list(prompt)
        for _ in range(count):
            hidden = torch.tensor([tokens])
            for unit in units[:-1]:
                hidden = unit(hidden)
            tokens.append(units[-1](hidden[0, -1:]).argmax().item())
    return tokens[len(prompt) :]


def test_units_of_ones_own_generate_what_they_would_in_memory(settings, batches):
    config = settings()
    weights = trained(config, models.llama(), batches)
    generator = gs.Generator(config["run"]["dir"], model=models.llama())
    prompts = [[1, 2, 3], [7]]
    texts = generator.generate(prompts, tokens=6, temperature=0)
    assert [text.tokens for text in texts] == [greedy(weights, prompt, 6) for prompt in prompts]


def test_a_built_in_model_streams_stops_and_counts(settings, batches):
    config = settings(**BUILT_IN)
    trained(config, None, batches)
    generator = gs.Generator(config["run"]["dir"])
    taken = []
    (whole,) = generator.generate([[5, 6]], tokens=8, temperature=0, take=lambda prompt, token: taken.append((prompt, token)))
    assert taken == [(0, token) for token in whole.tokens] and len(whole.tokens) == 8 and not whole.stopped
    (cut,) = generator.generate([[5, 6]], tokens=8, temperature=0, stop=[whole.tokens[2]])
    assert cut.stopped and cut.tokens == whole.tokens[: whole.tokens.index(whole.tokens[2])]
    assert generator.counts.passes > 0
    with pytest.raises(LookupError):
        generator.generate([[5]], take=lambda prompt, token: {}[token])


def test_an_evaluator_scores_texts(settings, batches, tmp_path):
    config = settings(**BUILT_IN)
    trained(config, None, batches)
    evaluator = gs.Evaluator(config["run"]["dir"])
    whole, tail = evaluator.log_likelihoods([[1, 2, 3, 4], ([1, 2, 3, 4], 3)])
    assert whole < tail < 0
    rows = [{"text": "abc"}, {"question": "a", "choices": ["b", "c"], "answer": 1}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = evaluator.evaluate(tmp_path / "rows.jsonl", lambda text: [ord(letter) % 96 for letter in text])
    assert found.text_rows == found.choice_rows == 1 and found.tokens == 2
    assert found.perplexity == pytest.approx(math.exp(found.negative_log_likelihood))


def test_what_is_to_be_opened_is_named():
    with pytest.raises(gs.UsageError, match="a run, or folder="):
        gs.Generator()
