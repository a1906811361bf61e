"""A process is not the library's alone."""

import json
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading

import pytest
import torch

import greedysnake as gs
import models


def in_a_process(program, **environment):
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, cwd=os.path.dirname(__file__), env=os.environ | environment, timeout=300)
    assert run.returncode == 0, run.stderr
    return run


def test_importing_changes_nothing():
    program = """
        import json, logging, signal, threading, torch
        def state():
            return [torch.get_num_threads(), threading.active_count(), len(logging.root.handlers), logging.root.level, len(logging.getLogger("greedysnake").handlers),
                    {int(s): str(signal.getsignal(s)) for s in signal.valid_signals()}, torch.get_rng_state().sum().item(), torch.get_default_dtype() == torch.float32]
        before = state()
        import greedysnake
        assert state() == before, (before, state())
    """
    assert in_a_process(program).stdout == ""


def test_a_trainer_leaves_the_process_as_it_was(settings, batches):
    (batch,) = batches(1)
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    threads = threading.active_count(), torch.get_num_threads(), len(os.listdir("/proc/self/task"))
    with gs.Trainer(settings(train__compute_threads=1), models.gpt(dropout=0.1)) as trainer:
        trainer.step(*batch)
        assert torch.get_num_threads() == threads[1]
    assert torch.equal(torch.rand(4), expected)
    assert {number: signal.getsignal(number) for number in signal.valid_signals()} == handlers
    assert (threading.active_count(), torch.get_num_threads()) == threads[:2]
    assert len(os.listdir("/proc/self/task")) <= threads[2] + 1  # torch's own autograd threads, once made, stay


def test_two_trainers_side_by_side_have_the_bits_of_each_alone(settings, batches, tmp_path):
    data = batches(4)

    def config(name):
        return settings(run__dir=str(tmp_path / name), ssd__paths=[str(tmp_path / f"{name}-ssd")], train__delay=0.5)

    def losses(name, model):
        with gs.Trainer(config(name), model) as trainer:
            return [trainer.step(*batch).loss for batch in data]

    alone = losses("a", models.gpt(dropout=0.1)), losses("b", models.llama())
    together: dict[str, list[float]] = {}
    threads = [
        threading.Thread(target=lambda: together.update(a=losses("c", models.gpt(dropout=0.1)))),
        threading.Thread(target=lambda: together.update(b=losses("d", models.llama()))),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (together["a"], together["b"]) == alone
    with gs.Trainer(config("e"), models.llama()) as first, gs.Trainer(config("f"), models.llama()) as second:
        for batch in data:
            assert first.step(*batch).loss == second.step(*batch).loss


def test_another_number_of_threads_beside_is_refused(settings, tmp_path):
    with gs.Trainer(settings(), models.llama()):
        other = settings(train__compute_threads=1, run__dir=str(tmp_path / "other"), ssd__paths=[str(tmp_path / "other-ssd")])
        with pytest.raises(gs.UsageError, match="train.compute_threads"):
            gs.Trainer(other, models.llama())


def test_messages_go_to_logging(settings, batches, caplog):
    (batch,) = batches(1)
    with caplog.at_level(logging.WARNING, logger="greedysnake"), gs.Trainer(settings(train__on_nonfinite="skip", optimizer__learning_rate=1e30), models.llama()) as trainer:
        try:
            for _ in range(6):
                trainer.step(*batch)
        except gs.NonFiniteError:
            pass
        trainer.close()
    assert any(record.name == "greedysnake" and "skipped" in record.message for record in caplog.records)


def test_openmp_that_spins_is_said_once():
    program = """
        import logging, tempfile
        import greedysnake as gs, models
        for name in "ab":
            folder = tempfile.mkdtemp()
            with gs.Trainer({"train": {"micro_batches": 1, "sequence_length": 16, "dtype": "fp32"}, "run": {"dir": folder + "/run"}, "ssd": {"paths": [folder + "/ssd"]}}, models.llama()):
                pass
    """
    environment = {key: value for key, value in os.environ.items() if key not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, cwd=os.path.dirname(__file__), env=environment, timeout=300)
    assert run.returncode == 0, run.stderr
    assert run.stderr.count("OMP_WAIT_POLICY=passive") == 1
    assert "OMP_WAIT_POLICY" not in in_a_process(program, OMP_WAIT_POLICY="passive").stderr


def test_a_trainer_that_nobody_closed_ends_with_the_program():
    program = """
        import tempfile, torch
        import greedysnake as gs, models
        folder = tempfile.mkdtemp()
        trainer = gs.Trainer({"train": {"micro_batches": 1, "sequence_length": 16, "dtype": "fp32"}, "run": {"dir": folder + "/run"}, "ssd": {"paths": [folder + "/ssd"]}}, models.llama())
        ids = torch.zeros(16, dtype=torch.int64)
        trainer.submit(ids, ids)
    """
    in_a_process(program)


def test_many_trainers_leave_no_memory_behind():
    """The resident set after 200 constructions is that after 20, to 8 MiB."""
    program = """
        import json, shutil, tempfile
        import greedysnake as gs, models
        def resident():
            return int(open("/proc/self/statm").read().split()[1]) * 4096
        seen = {}
        for number in range(1, 201):
            folder = tempfile.mkdtemp()
            config = {"train": {"micro_batches": 1, "sequence_length": 16, "dtype": "fp32"}, "memory": {"host_budget": "32 MiB", "device_budget": "32 MiB"},
                      "run": {"dir": folder + "/run"}, "ssd": {"paths": [folder + "/ssd"]}}
            with gs.Trainer(config, models.llama(1)):
                pass
            shutil.rmtree(folder)
            seen[number] = resident()
        print(json.dumps([seen[20], seen[100], seen[200]]))
    """
    early, middle, late = json.loads(in_a_process(program).stdout)
    assert late - early < 8 << 20, (early, middle, late)


def test_a_trainer_in_a_cycle_may_be_collected_anywhere(tmp_path):
    """Garbage is collected on whatever thread allocates: a lane that runs a unit's code as well."""
    program = """
        import gc, sys, tempfile, torch
        import greedysnake as gs, models
        class Collects(models.LlamaBlock):
            def forward(self, hidden):
                gc.collect()
                return super().forward(hidden)
        def config():
            folder = tempfile.mkdtemp()
            return {"train": {"micro_batches": 1, "sequence_length": 16, "dtype": "fp32"}, "run": {"dir": folder + "/run"}, "ssd": {"paths": [folder + "/ssd"]}}
        def model():
            return gs.Model([models.LlamaEmbedding, Collects, models.LlamaHead], hidden=48, vocab=96, max_context=64)
        gc.disable()
        lost = gs.Trainer(config(), model())
        lost.itself = lost
        ids = torch.zeros(16, dtype=torch.int64)
        lost.submit(ids, ids)
        del lost
        with gs.Trainer(config(), model()) as trainer:
            trainer.step(ids, ids)
    """
    in_a_process(program)


def test_ctrl_c_within_a_message_is_not_lost():
    program = """
        import logging, os, signal, tempfile
        import torch, greedysnake as gs, models
        class Interrupts(logging.Handler):
            done = False
            def emit(self, record):
                if not Interrupts.done and "step" in record.getMessage():
                    Interrupts.done = True
                    signal.raise_signal(signal.SIGINT)
        logging.getLogger("greedysnake").addHandler(Interrupts())
        logging.getLogger("greedysnake").setLevel(logging.INFO)
        folder = tempfile.mkdtemp()
        config = {"train": {"steps": 30, "micro_batches": 1, "sequence_length": 16, "dtype": "fp32"}, "run": {"dir": folder + "/run"}, "ssd": {"paths": [folder + "/ssd"]}}
        ids = torch.zeros(1, 16, dtype=torch.int64)
        try:
            gs.train(config, models.llama(), batches=[(ids, ids)], signals=False, progress=False)
        except KeyboardInterrupt:
            print("interrupted")
    """
    assert in_a_process(program).stdout == "interrupted\n"
