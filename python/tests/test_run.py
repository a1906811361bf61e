"""Whole runs: train(), data of the caller's own, callbacks."""

import json
import os
import pathlib
import signal
import threading
import time

import pytest
import torch

import greedysnake as gs
import models

ROWS, TOKENS = 40, 32


def corpus(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text("the quick brown fox jumps over the lazy dog; " * 400)
    return str(path)


def losses_of(run_dir):
    lines = [json.loads(line) for line in pathlib.Path(run_dir, "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines if "loss" in line and "event" not in line}


class Rows(torch.utils.data.Dataset):
    """A map-style dataset: (inputs, labels) of a row."""

    def __init__(self, rows=ROWS):
        ids = torch.randint(0, models.VOCAB, (rows, TOKENS + 1), generator=torch.Generator().manual_seed(5))
        self.inputs, self.labels = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()

    def __len__(self):
        return len(self.inputs)

    def __getitem__(self, index):
        return self.inputs[index], self.labels[index]


def loader(shuffle=True, batch_size=3):
    return torch.utils.data.DataLoader(Rows(), batch_size=batch_size, shuffle=shuffle, generator=torch.Generator())


class Counting:
    """A source of its own kind: state() is what it is at."""

    def __init__(self):
        self.at = 0

    def next(self):
        self.at += 1
        ids = torch.full((4, 2, TOKENS), self.at % models.VOCAB)
        return ids, ids

    def state(self):
        return self.at

    def restore(self, state):
        self.at = state


def test_files_as_the_command_trains_them(settings, tmp_path):
    config = settings(data__train=[corpus(tmp_path)], model__layers=2, model__hidden=32, model__heads=2, model__vocab=256, model__context=64, train__steps=3)
    seen = []
    outcome = gs.train(config, on_step=lambda result, validation: seen.append(result))
    assert outcome.steps == outcome.step == 3 and outcome.exit_status == 0
    assert [result.step for result in seen] == [1, 2, 3]
    assert losses_of(config["run"]["dir"])[3] == pytest.approx(seen[-1].loss, rel=1e-8)


@pytest.mark.parametrize("make", [loader, lambda: loader(shuffle=False), Rows, Counting, lambda: [(Rows().inputs, Rows().labels)]], ids=["shuffled", "in_order", "dataset", "own", "list"])
def test_a_resume_goes_on_where_the_data_stood(make, settings, tmp_path):
    """8 steps of 8 rows pass over 40 rows more than once."""
    whole = settings(train__steps=8, run__dir=str(tmp_path / "whole"), ssd__paths=[str(tmp_path / "whole-ssd")])
    gs.train(whole, models.gpt(), batches=make())
    parts = settings(train__steps=3)
    gs.train(parts, models.gpt(), batches=make())
    gs.train(settings(train__steps=8), models.gpt(), batches=make(), resume="must")
    assert losses_of(parts["run"]["dir"]) == losses_of(whole["run"]["dir"])


class Stateful:
    """A loader that can say where it is, and tells how often an item was made."""

    made = 0

    def __init__(self):
        self.place = 0

    def __iter__(self):
        rows = Rows()
        while self.place < ROWS:
            first, self.place = self.place, self.place + 5
            Stateful.made += 1
            yield rows.inputs[first : first + 5], rows.labels[first : first + 5]
        self.place = 0

    def state_dict(self):
        return {"place": self.place}

    def load_state_dict(self, state):
        self.place = state["place"]


def test_a_loader_with_a_state_of_its_own_is_not_read_again(settings, tmp_path):
    whole = settings(train__steps=6, run__dir=str(tmp_path / "whole"), ssd__paths=[str(tmp_path / "whole-ssd")])
    gs.train(whole, models.gpt(), batches=Stateful())
    parts = settings(train__steps=4)
    gs.train(parts, models.gpt(), batches=Stateful())
    Stateful.made = 0
    gs.train(settings(train__steps=6), models.gpt(), batches=Stateful(), resume="must")
    assert losses_of(parts["run"]["dir"]) == losses_of(whole["run"]["dir"])
    assert Stateful.made <= 4  # 16 rows of 5 an item, one of which was in hand


def test_items_of_transformers_collators_are_shifted(settings):
    from greedysnake.data import LoaderBatches

    ids = torch.arange(2 * 33).view(2, 33)
    mask = torch.ones_like(ids)
    mask[1, 30:] = 0
    inputs, labels = LoaderBatches([{"input_ids": ids, "attention_mask": mask}], (1, 2, 32), 1).next()
    assert torch.equal(inputs, ids[:, :-1])
    assert torch.equal(labels[0], ids[0, 1:])
    assert labels[1].tolist() == [*ids[1, 1:30].tolist(), -100, -100, -100]


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        (iter([]), "iterator"),
        (3, "int"),
        ([{"text": "a"}], "input_ids"),
        ([(torch.zeros(2, 5), torch.zeros(2, 5))], "sequence_length = 32"),
        ([], "gave nothing"),
        (torch.utils.data.DataLoader(Rows(), shuffle=True), "generator=torch.Generator"),
    ],
)
def test_data_that_is_none_is_refused(batches, message, settings):
    with pytest.raises(gs.UsageError, match=message):
        gs.train(settings(), models.gpt(), batches=batches)


def test_validation_of_the_callers_own(settings):
    seen = []
    rows = Rows()
    config = settings(train__validate_every=2, train__steps=4)
    outcome = gs.train(config, models.gpt(), batches=loader(), validation=[(rows.inputs[:4], rows.labels[:4])], on_step=lambda result, loss: seen.append(loss))
    assert [loss is None for loss in seen] == [True, False, True, False]
    assert outcome.validation_loss == pytest.approx(seen[-1], rel=1e-8)
    with pytest.raises(gs.UsageError, match="validate_every"):
        gs.train(settings(), models.gpt(), batches=loader(), validation=[(rows.inputs[:4], rows.labels[:4])])


def test_what_a_callback_raises_ends_the_run_at_its_last_commit(settings):
    def fail(result, validation):
        if result.step == 3:
            raise LookupError("enough")

    config = settings(train__steps=8)
    with pytest.raises(LookupError, match="enough"):
        gs.train(config, models.gpt(), batches=loader(), on_step=fail)
    assert gs.train(config, models.gpt(), batches=loader(), resume="must").step == 8


def test_ctrl_c_finishes_the_step_and_commits(settings):
    config = settings(train__steps=100000)
    before = signal.default_int_handler
    signal.signal(signal.SIGINT, before)  # what started these tests may have it ignored, as nohup does
    seen = []

    def interrupt(result, validation):
        seen.append(result.step)
        if result.step == 2:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        gs.train(config, models.gpt(), batches=loader(), on_step=interrupt)
    assert signal.getsignal(signal.SIGINT) is before
    with gs.Trainer(config, models.gpt(), resume="must") as trainer:
        assert trainer.completed_steps == seen[-1]


def test_tensorboard_has_the_losses(settings, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    config = settings(train__steps=3)
    with gs.callbacks.TensorBoard(tmp_path / "board") as board:
        gs.train(config, models.gpt(), batches=loader(), on_step=[board])
    events = accumulator.EventAccumulator(str(tmp_path / "board"))
    events.Reload()
    found = {event.step: event.value for event in events.Scalars("loss/train")}
    assert found == pytest.approx(losses_of(config["run"]["dir"]), rel=1e-6)
    assert "speed/tokens_per_second" in events.Tags()["scalars"]


@pytest.mark.parametrize(
    "loader",
    [
        torch.utils.data.DataLoader(Rows(), sampler=torch.utils.data.SubsetRandomSampler(range(20)), generator=torch.Generator()),
        torch.utils.data.DataLoader(Rows(), batch_sampler=torch.utils.data.BatchSampler(torch.utils.data.RandomSampler(range(20)), 2, False)),
    ],
    ids=["subset", "batch_sampler"],
)
def test_an_order_that_nothing_brings_back_is_refused(loader, settings):
    with pytest.raises(gs.UsageError, match="generator"):
        gs.train(settings(), models.gpt(), batches=loader)


def test_a_loader_that_draws_random_numbers_changes_no_bit(settings, tmp_path):
    class Noisy(Rows):
        def __getitem__(self, index):
            torch.rand(3)
            return super().__getitem__(index)

    runs = []
    for name in "ab":
        config = settings(train__steps=6, run__dir=str(tmp_path / name), ssd__paths=[str(tmp_path / f"{name}-ssd")])
        gs.train(config, models.gpt(dropout=0.3), batches=Noisy())
        runs.append(losses_of(config["run"]["dir"]))
    assert runs[0] == runs[1]


def test_rows_of_a_hugging_face_dataset_are_taken():
    from greedysnake.data import as_source

    rows = [{"input_ids": list(range(row, row + 33))} for row in range(6)]

    class Listed(torch.utils.data.Dataset):
        def __len__(self):
            return len(rows)

        def __getitem__(self, index):
            return rows[index]

    inputs, labels = as_source(Listed(), (2, 2, 32), 1).next()
    assert inputs.shape == labels.shape == (4, 32)
    assert torch.equal(inputs + 1, labels)


def test_a_config_stays_what_it_was(tmp_path, monkeypatch):
    import copy
    import pickle

    import numpy

    given = {"train": {"steps": numpy.int64(3)}, "optimizer": {"learning_rate": numpy.float64(1e-3)}}
    config = gs.Config(given)
    given["train"]["steps"] = 9
    folder = config["run.dir"]
    monkeypatch.chdir(tmp_path)
    for other in (config.replace("train.seed=2"), copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert other["train.steps"] == 3 and other["run.dir"] == folder
