"""The trainer's own behaviour, with a built-in model."""

import json
import os
import signal
import subprocess
import sys
import textwrap

import numpy
import pytest
import torch

import greedysnake as gs

SHAPE = {"model__layers": 2, "model__hidden": 32, "model__heads": 2, "model__vocab": 96, "model__context": 64}


@pytest.fixture
def config(settings):
    return settings(**SHAPE)


def test_losses_fall_and_results_have_their_fields(config, batches):
    (batch,) = batches(1)
    with gs.Trainer(config) as trainer:
        results = [trainer.step(*batch) for _ in range(8)]
        traffic = trainer.take_traffic()
        report = trainer.report
    assert [result.step for result in results] == list(range(1, 9))
    assert results[-1].loss < results[0].loss
    assert results[0].tokens == 4 * 2 * 32 - 3
    assert set(results[0].lanes) == set(traffic.busy_ms) == {"compute", "h2d", "d2h", "ssd_read", "ssd_write", "optimizer", "collective", "commit"}
    assert traffic.ssd_read_bytes > 0 and report.parameters > 0 and report.memory[0].bytes > 0
    assert report.compute_threads == 2


@pytest.mark.parametrize("convert", [lambda t: t.numpy(), lambda t: t.tolist(), lambda t: t.to(torch.int32), lambda t: t.reshape(-1), lambda t: numpy.asfortranarray(t.numpy())])
def test_ids_of_any_kind_are_the_same_batch(convert, config, batches):
    (batch,) = batches(1)
    losses = []
    for resume in ({}, {"resume": "never", "overwrite": True}):
        with gs.Trainer(config, **resume) as trainer:
            losses.append(trainer.step(*(map(convert, batch) if resume else batch)).loss)
    assert losses[0] == losses[1]


def test_a_tensor_is_taken_where_it_lies(config, batches):
    """What is changed between submit() and wait() changes nothing: the ids were read when submit() returned."""
    (batch,) = batches(1)
    with gs.Trainer(config) as trainer:
        expected = trainer.validate(*batch)
        inputs = batch[0].clone()
        trainer.submit(inputs, batch[1])
        inputs.zero_()
        assert trainer.wait().loss == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [(torch.zeros(3, dtype=torch.int64), "micro_batches x micro_batch_size x sequence_length = 256"), (torch.zeros(256), "Float"), (torch.full((256,), 96), "ids from 0 to 95")],
)
def test_a_batch_that_is_none_is_refused(inputs, message, config, batches):
    (batch,) = batches(1)
    with gs.Trainer(config) as trainer, pytest.raises(gs.UsageError, match=message):
        trainer.step(inputs, batch[1])


def test_two_steps_may_be_in_flight(config, batches):
    data = batches(3)
    with gs.Trainer(config) as trainer:
        trainer.submit(*data[0])
        trainer.submit(*data[1])
        first = trainer.wait()
        trainer.submit(*data[2])
        rest = [trainer.wait(), trainer.wait()]
    assert [first.step, *(result.step for result in rest)] == [1, 2, 3]


def test_weights_are_named_and_shaped(config, batches):
    (batch,) = batches(1)
    with gs.Trainer(config) as trainer:
        trainer.step(*batch)
        trainer.commit()
        embedding = trainer.weights(0)
        assert embedding["wte.weight"].shape == (96, 32) and embedding["wte.weight"].dtype == torch.float32
        assert all(torch.isfinite(value).all() for value in trainer.weights(1).values())
        with pytest.raises(IndexError):
            trainer.weights(4)


def test_closing_without_a_commit_leaves_the_run_where_it_was(settings, batches):
    config = settings(**SHAPE, run__commit_every=1000)
    data = batches(3)
    with gs.Trainer(config) as trainer:
        trainer.step(*data[0])
    trainer = gs.Trainer(config, resume="must")
    trainer.step(*data[1])
    trainer.close()
    assert trainer.closed
    with pytest.raises(gs.Error, match="closed"):
        trainer.step(*data[2])
    with gs.Trainer(config, resume="must") as trainer:
        assert trainer.completed_steps == 1


def test_an_exception_in_the_block_commits_nothing(settings, batches):
    config = settings(**SHAPE, run__commit_every=1000)
    (batch,) = batches(1)
    with pytest.raises(KeyError), gs.Trainer(config) as trainer:
        trainer.step(*batch)
        raise KeyError
    with pytest.raises(gs.Error):
        gs.Trainer(config, resume="must")


def test_errors_have_one_hierarchy_and_say_what_to_do(settings):
    with pytest.raises(gs.UsageError, match="micro_batches") as usage:
        gs.Trainer(settings(train__micro_bathces=3))
    assert isinstance(usage.value, gs.Error) and isinstance(usage.value, ValueError) and usage.value.exit_status == 2
    with pytest.raises(gs.BudgetError, match="memory.host_budget") as budget:
        gs.Trainer(settings(**SHAPE, memory__host_budget="100 KiB"))
    assert budget.value.exit_status == 3
    with pytest.raises(gs.InputError, match="absent.toml"):
        gs.Trainer("absent.toml")
    with pytest.raises(gs.UsageError, match="auto, never, must"):
        gs.Trainer(settings(**SHAPE), resume="perhaps")


def test_a_folder_in_use_is_refused(config):
    with gs.Trainer(config), pytest.raises(gs.StorageError, match=str(os.getpid())):
        gs.Trainer(config)


def test_a_loss_that_is_not_finite_brings_its_result(settings, batches):
    (batch,) = batches(1)
    config = settings(**SHAPE, optimizer__learning_rate=1e30)
    trainer = gs.Trainer(config)
    with pytest.raises(gs.NonFiniteError) as error:
        for _ in range(10):
            trainer.step(*batch)
    assert error.value.result.step > 1
    trainer.close()


def test_the_datas_position_comes_back(config, batches):
    (batch,) = batches(1)
    with gs.Trainer(config) as trainer:
        trainer.data_position = (7, json.dumps({"epoch": 2}))
        trainer.step(*batch)
    with gs.Trainer(config, resume="must") as trainer:
        assert trainer.data_position == (7, '{"epoch": 2}')


def test_progress_is_told_and_may_end_the_construction(config, tmp_path):
    said = []
    with gs.Trainer(config, progress=lambda what, done, total: said.append(what)):
        pass
    assert any("memory" in what for what in said)

    def stop(what, done, total):
        raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        gs.Trainer({**config, "run": {"dir": str(tmp_path / "other")}, "ssd": {"paths": [str(tmp_path / "other-ssd")]}}, progress=stop)
    assert not (tmp_path / "other-ssd").exists()


def test_ctrl_c_stops_between_steps_and_commits(config, batches, tmp_path):
    (batch,) = batches(1)
    torch.save((config, batch), tmp_path / "given")
    program = f"""
        import torch
        import greedysnake as gs
        config, batch = torch.load({str(tmp_path / "given")!r})
        with gs.Trainer(config) as trainer:
            print("ready", flush=True)
            while True:
                print(trainer.step(*batch).step, flush=True)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.strip() == "3":
            process.send_signal(signal.SIGINT)
            break
    output, errors = process.communicate(timeout=120)
    assert "KeyboardInterrupt" in errors
    steps = max([3, *(int(line) for line in output.split() if line.isdigit())])
    with gs.Trainer(config, resume="must") as trainer:
        assert steps <= trainer.completed_steps <= steps + 1
