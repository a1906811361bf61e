"""Units written in Python, streamed from SSD, against the same modules in memory."""

import subprocess
import sys
import textwrap

import pytest
import torch

import greedysnake as gs
import models
import plain

MODELS = {"gpt": models.gpt, "llama": models.llama}
STEPS = 5


def plain_run(name, batches, initial):
    units = models.modules_of(name)
    with torch.no_grad():
        for unit, values in zip(units, initial):
            for key, parameter in unit.named_parameters():
                parameter.copy_(values[key])
    optimizer = plain.AdamW([parameter for unit in units for parameter in unit.parameters()])
    losses = plain.train(units, optimizer, batches)
    return losses, [{key: parameter.detach() for key, parameter in unit.named_parameters()} for unit in units]


def all_weights(trainer, units=5):
    return [{name: value.clone() for name, value in trainer.weights(unit).items()} for unit in range(units)]


@pytest.fixture
def initial_weights(settings, tmp_path):
    """What a new run of the model begins with."""

    def make(model):
        config = settings(run__dir=str(tmp_path / "first"), ssd__paths=[str(tmp_path / "first-ssd")])
        with gs.Trainer(config, model) as trainer:
            trainer.commit()
            return all_weights(trainer)

    return make


def assert_same_bits(found, expected):
    for unit, (a, b) in enumerate(zip(found, expected, strict=True)):
        assert a.keys() == b.keys()
        for name in a:
            assert torch.equal(a[name], b[name]), f"unit {unit}, {name}"


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    "changes",
    [
        {"train__delay": 0.0},
        {"train__delay": 1.0, "placement__activations": {"host": 0.0}},
        {"train__delay": 0.5, "placement__weights": {"device": 0.5}, "placement__optimizer": {"host": 0.5}},
        {"train__schedule": "horizontal"},
    ],
    ids=["plain", "delayed", "placed", "horizontal"],
)
def test_the_bits_of_the_same_modules_in_memory(name, changes, settings, batches, initial_weights):
    config = settings(**changes)
    losses, weights = plain_run(name, batches(STEPS), initial_weights(MODELS[name]()))
    with gs.Trainer(config, MODELS[name]()) as trainer:
        found = [trainer.step(*batch).loss for batch in batches(STEPS)]
        trainer.commit()
        assert_same_bits(all_weights(trainer), weights)
    assert found == pytest.approx(losses, rel=1e-6)


def test_a_resume_goes_on_with_the_same_bits(settings, batches, initial_weights):
    data = batches(STEPS)
    config = settings(train__delay=0.5)
    losses, weights = plain_run("gpt", data, initial_weights(models.gpt()))
    with gs.Trainer(config, models.gpt()) as trainer:
        for batch in data[:2]:
            trainer.step(*batch)
    with gs.Trainer(config, models.gpt(), resume="must") as trainer:
        assert trainer.completed_steps == 2
        found = [trainer.step(*batch).loss for batch in data[2:]]
        trainer.commit()
        assert_same_bits(all_weights(trainer), weights)
    assert found == pytest.approx(losses[2:], rel=1e-6)


def test_a_kill_loses_nothing_that_was_committed(settings, batches, initial_weights, tmp_path):
    data = batches(STEPS)
    config = settings(train__delay=1.0)
    _, weights = plain_run("llama", data, initial_weights(models.llama()))
    torch.save((config, data), tmp_path / "given")
    program = f"""
        import os, signal, torch
        import greedysnake as gs, models
        config, data = torch.load({str(tmp_path / "given")!r})
        trainer = gs.Trainer(config, models.llama())
        for batch in data[:3]:
            trainer.step(*batch)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], cwd=models.__file__.rsplit("/", 1)[0])
    assert killed.returncode == -9
    with gs.Trainer(config, models.llama(), resume="must") as trainer:
        assert 1 <= trainer.completed_steps <= 3
        for batch in data[trainer.completed_steps :]:
            trainer.step(*batch)
        trainer.commit()
        assert_same_bits(all_weights(trainer), weights)


def test_dropout_draws_the_same_numbers_whatever_the_delay(settings, batches, tmp_path):
    runs = []
    for delay in (0.0, 1.0):
        config = settings(train__delay=delay, run__dir=str(tmp_path / f"run{delay}"), ssd__paths=[str(tmp_path / f"ssd{delay}")])
        torch.manual_seed(int(10 * delay))  # whatever the program draws
        with gs.Trainer(config, models.gpt(dropout=0.2)) as trainer:
            runs.append([trainer.step(*batch).loss for batch in batches(STEPS)])
            torch.rand(17)
    assert runs[0] == runs[1]


def test_a_tied_head_has_the_embeddings_weight(settings, batches):
    with gs.Trainer(settings(), models.gpt(tied=True)) as trainer:
        for batch in batches(2):
            trainer.step(*batch)
        trainer.commit()
        assert "lm_head.weight" not in trainer.weights(4)
        assert trainer.report.parameters == sum(value.numel() for unit in range(5) for value in trainer.weights(unit).values())


def test_bf16_trains_to_about_the_same_losses(settings, batches, tmp_path):
    data = batches(1) * 12
    runs = {}
    for dtype in ("fp32", "bf16"):
        config = settings(train__dtype=dtype, run__dir=str(tmp_path / dtype), ssd__paths=[str(tmp_path / f"{dtype}-ssd")])
        with gs.Trainer(config, models.llama()) as trainer:
            runs[dtype] = [trainer.step(*batch).loss for batch in data]
    assert runs["bf16"] == pytest.approx(runs["fp32"], rel=2e-2)
    assert runs["bf16"][-1] < runs["bf16"][0] - 0.3


def test_a_head_may_have_a_loss_of_its_own(settings, batches):
    class Smoothed(models.GptHead):
        def loss_sum(self, hidden, labels):
            return torch.nn.functional.cross_entropy(self(hidden), labels, reduction="sum", label_smoothing=0.5)

    model = gs.Model([models.GptEmbedding, models.GptBlock, Smoothed], hidden=models.HIDDEN, vocab=models.VOCAB, max_context=models.CONTEXT)
    plain_model = gs.Model([models.GptEmbedding, models.GptBlock, models.GptHead], hidden=models.HIDDEN, vocab=models.VOCAB, max_context=models.CONTEXT)
    (batch,) = batches(1)
    with gs.Trainer(settings(run__durability="off"), model) as trainer:
        smoothed = trainer.step(*batch).loss
        trainer.close()
    with gs.Trainer(settings(run__durability="off"), plain_model, resume="never", overwrite=True) as trainer:
        assert trainer.step(*batch).loss != smoothed


def test_what_a_unit_raises_is_what_the_caller_gets(settings, batches):
    class Broken(models.GptBlock):
        fails = False

        def forward(self, hidden):
            if Broken.fails:
                raise RuntimeError("the unit's own trouble")
            return super().forward(hidden)

    model = gs.Model([models.GptEmbedding, Broken, models.GptHead], hidden=models.HIDDEN, vocab=models.VOCAB, max_context=models.CONTEXT)
    trainer = gs.Trainer(settings(), model)
    first, second = batches(2)
    trainer.step(*first)
    Broken.fails = True
    with pytest.raises(RuntimeError, match="the unit's own trouble"):
        trainer.step(*second)
    trainer.close()


def test_a_unit_that_returns_the_wrong_thing_is_refused_at_construction(settings):
    class Wrong(models.GptBlock):
        def forward(self, hidden):
            return hidden, None

    model = gs.Model([models.GptEmbedding, Wrong, models.GptHead], hidden=models.HIDDEN, vocab=models.VOCAB, max_context=models.CONTEXT)
    with pytest.raises(gs.UsageError, match="Wrong.*tuple"):
        gs.Trainer(settings(), model)

    class Short(models.GptBlock):
        def forward(self, hidden):
            return super().forward(hidden)[:, 1:]

    model = gs.Model([models.GptEmbedding, Short, models.GptHead], hidden=models.HIDDEN, vocab=models.VOCAB, max_context=models.CONTEXT)
    with pytest.raises(gs.UsageError, match="^unit '[^':]*Short[^':]*': the output is .*; a unit keeps \\(rows, tokens, hidden\\)"):
        gs.Trainer(settings(), model)


def test_a_factory_is_asked_for_a_module():
    with pytest.raises(gs.UsageError, match="torch.nn.Module"):
        gs.Model([models.GptEmbedding, lambda: 3, models.GptHead], hidden=8, vocab=8, max_context=8)
    with pytest.raises(gs.UsageError, match="no parameter nothing"):
        gs.Model([models.GptEmbedding, models.GptHead], hidden=48, vocab=96, max_context=64, tied=("nothing", "lm_head.weight"))


def test_a_failure_is_told_again_and_the_run_stays_at_its_commit(settings, batches):
    class Fails(models.GptBlock):
        after = 4 * 2

        def forward(self, hidden):
            Fails.after -= 1
            if Fails.after == -20:
                raise ValueError("the unit's own trouble")
            return super().forward(hidden)

    model = gs.Model([models.GptEmbedding, Fails, models.GptHead], hidden=models.HIDDEN, vocab=models.VOCAB, max_context=models.CONTEXT)
    trainer = gs.Trainer(settings(), model)
    data = batches(8)
    with pytest.raises(ValueError, match="own trouble"):
        for batch in data:
            trainer.step(*batch)
    for _ in range(2):
        with pytest.raises(ValueError, match="own trouble"):
            trainer.step(*data[0])
    with pytest.raises(ValueError, match="own trouble"):
        trainer.commit()
    trainer.close()
    with gs.Trainer(settings(), models.gpt(1), resume="must") as trainer:
        assert trainer.completed_steps > 0


def test_a_module_that_was_made_to_evaluate_trains(settings, batches):
    def block():
        return models.GptBlock(dropout=0.5).eval()

    model = gs.Model([models.GptEmbedding, block, models.GptHead], hidden=models.HIDDEN, vocab=models.VOCAB, max_context=models.CONTEXT)
    (batch,) = batches(1)
    with gs.Trainer(settings(), model) as trainer:
        assert trainer.step(*batch).loss != pytest.approx(trainer.validate(*batch), rel=1e-3)


def test_an_initializer_that_replaces_what_is_bound_is_refused(settings):
    def replaces(module, unit):
        module.requires_grad_(False)
        for parameter in module.parameters():
            parameter.data = torch.ones_like(parameter)

    model = gs.Model([models.GptEmbedding, models.GptBlock, models.GptHead], hidden=models.HIDDEN, vocab=models.VOCAB, max_context=models.CONTEXT, initialize=replaces)
    with pytest.raises(gs.UsageError, match="copy values"):
        gs.Trainer(settings(), model)


def test_documents_in_a_row_are_refused(settings, batches):
    (batch,) = batches(1)
    with gs.Trainer(settings(), models.gpt()) as trainer, pytest.raises(gs.UsageError, match="starts"):
        trainer.step(*batch, starts=[[0, 5]] * 8)
    with pytest.raises(gs.UsageError, match="packed"):
        gs.Trainer(settings(data__documents="packed"), models.gpt())
