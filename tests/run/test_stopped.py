"""A run that is stopped from outside says so, saves what it has, and is nobody else's while it goes on."""

import errno
import fcntl
import gc
import json
import os
import signal
import socket
import sys
import time
from threading import Event, Thread, Timer
from types import SimpleNamespace
from typing import Any

import pytest

import jaxssl
from jaxssl.cli import main
from jaxssl.errors import Preempted, UserError
from jaxssl.run import assembly
from jaxssl.run.evaluate import evaluate
from jaxssl.run.stages import Place
from jaxssl.sweep import Stage
from jaxssl.train import checkpoint
from jaxssl.train.checkpoint import read
from jaxssl.train.preemption import ended_at_once
from jaxssl.workdir import Workdir


def words(store, workdir):
    return ["pretrain", "mim:tiny", "--data.store", str(store), "--workdir", str(workdir), "--processes", "1"]


def status(workdir) -> str:
    return json.loads((workdir / "run.json").read_text())["status"]


@pytest.fixture
def at_step(monkeypatch):
    """Do something at the end of a step, before what saves it is told."""

    def see(number, act):
        def watched(*args):
            def hook(tick):
                if tick.step == number:
                    act()

            return hooks(*args[:-1], [hook, *args[-1]])

        hooks = assembly.run_steps
        monkeypatch.setattr(assembly, "run_steps", watched)

    return see


def test_told_by_sigterm_a_run_saves_the_step_it_is_at_and_ends_with_75(store, tmp_path, at_step, capsys):
    before = signal.getsignal(signal.SIGTERM)
    told_at = []

    def tell():
        told_at.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGTERM)

    at_step(1, tell)
    assert main([*words(store, tmp_path / "run"), "--train.checkpoint-every", "100"]) == 75
    assert time.monotonic() - told_at[0] < 30
    assert "Told to stop (SIGTERM) at step 1, which is saved; the same command continues." in capsys.readouterr().err
    assert status(tmp_path / "run") == "stopped"
    assert read(tmp_path / "run" / "checkpoints", pytest.fail).step == 1
    assert signal.getsignal(signal.SIGTERM) == before
    told = tmp_path / "run" / "run.json"
    facts = json.loads(told.read_text())
    assert 0 < facts["seconds"] < 1000
    told.write_text(json.dumps({**facts, "seconds": 5000.0, "started": "2020-01-01T00:00:00+00:00"}))
    assert main(words(store, tmp_path / "run")) == 0
    assert "from step 1" in capsys.readouterr().err
    assert status(tmp_path / "run") == "finished"
    assert 5000 < json.loads(told.read_text())["seconds"] < 6000, "the years between are none of the run's"


def test_a_step_that_could_not_be_saved_is_not_called_saved(store, tmp_path, at_step, monkeypatch, capsys):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "begin_write", full)
    at_step(1, lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert main([*words(store, tmp_path / "run"), "--train.checkpoint-every", "100"]) == 75
    said = capsys.readouterr().err
    assert "at step 1, which could not be saved; the same command continues." in said
    assert "No space left" in said


@pytest.mark.parametrize(("sent", "heard"), [(signal.SIGTERM, Preempted), (signal.SIGINT, KeyboardInterrupt)])
def test_a_signal_is_heard_where_python_lets_no_exception_out(sent, heard):
    """Found by the 500 kills: it came while garbage was collected, of which jax is told, and the run went on."""
    met = []

    def while_collecting(phase, _):
        if phase == "start" and not met:
            met.append(phase)
            os.kill(os.getpid(), sent)

    def collect_and_wait():
        gc.callbacks.append(while_collecting)
        gc.collect()
        assert met
        time.sleep(30)

    # What a shell begins in the background ignores Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(heard), ended_at_once():
            collect_and_wait()
    finally:
        gc.callbacks.remove(while_collecting)
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("first", "second", "heard"),
    [
        (KeyboardInterrupt, KeyboardInterrupt, KeyboardInterrupt),
        (KeyboardInterrupt, Preempted, Preempted),
        (Preempted, KeyboardInterrupt, Preempted),
    ],
)
def test_of_signals_that_come_while_one_is_asked_for_one_is_heard(first, second, heard, monkeypatch):
    start, sent, starts = Timer.start, [], []
    lost: Any = SimpleNamespace(exc_value=first(), object=None)

    def interrupted(timer):
        starts.append(timer)
        start(timer)
        if len(starts) == 1:
            raise second

    with monkeypatch.context() as patch, ended_at_once():
        patch.setattr(Timer, "start", interrupted)
        patch.setattr(os, "kill", lambda _, number: sent.append(number))
        sys.unraisablehook(lost)
        for timer in starts:
            timer.join()
    assert sent == [signal.SIGTERM if heard is Preempted else signal.SIGINT]


def test_told_by_sigterm_a_run_ends_also_when_something_fails_on_the_way_out(store, tmp_path, at_step, capsys):
    """Or a sweep would take it for a stage that failed, and begin the next. Nor can run.json be told of it here."""

    def told_and_failing():
        os.kill(os.getpid(), signal.SIGTERM)
        (tmp_path / "run" / "run.json").write_text("{")
        raise OSError(errno.EIO, "the disk is gone")

    at_step(1, told_and_failing)
    assert main(words(store, tmp_path / "run")) == 75
    assert "Told to stop (SIGTERM), and then: [Errno 5] the disk is gone." in capsys.readouterr().err


def stop():
    raise KeyboardInterrupt


def fail():
    raise UserError("This went wrong.")


@pytest.mark.parametrize(("act", "code", "becomes"), [(stop, 130, "stopped"), (fail, 2, "failed")])
def test_run_json_does_not_say_running_when_nobody_runs(store, tmp_path, at_step, act, code, becomes):
    at_step(2, act)
    assert main(words(store, tmp_path / "run")) == code
    assert status(tmp_path / "run") == becomes


def test_a_second_run_in_the_same_folder_is_refused_and_changes_nothing(store, tmp_path, at_step, capsys):
    codes, said = [], []

    def second():
        codes.append(main(words(store, tmp_path / "run")))
        said.append(((tmp_path / "run" / "run.json").read_text(), capsys.readouterr().err))

    at_step(2, second)
    assert main(words(store, tmp_path / "run")) == 0
    assert codes == [2]
    facts, refused = said[0]
    assert json.loads(facts)["status"] == "running"
    assert f"in use by process {os.getpid()} on {socket.gethostname()}" in refused
    assert status(tmp_path / "run") == "finished"


def test_the_lock_of_one_who_was_killed_is_no_lock(tmp_path):
    (tmp_path / "lock").write_text("process 1 on another since 2020\n")
    with Workdir(tmp_path).alone(pytest.fail):
        assert f"process {os.getpid()}" in (tmp_path / "lock").read_text()
        with pytest.raises(UserError, match="in use by process"), Workdir(tmp_path).alone(pytest.fail):
            pass
    assert (tmp_path / "lock").read_text() == ""


def test_one_who_only_adds_something_waits_for_the_one_who_is_at_work(tmp_path):
    order, said, holding = [], [], Event()

    def work():
        with Workdir(tmp_path).alone(pytest.fail):
            holding.set()
            while not said:
                time.sleep(0.01)
            order.append("worked")

    worker = Thread(target=work)
    worker.start()
    assert holding.wait(60)
    with Workdir(tmp_path).alone(said.append, wait=True):
        order.append("added")
    worker.join()
    assert order == ["worked", "added"]
    assert f"in use by process {os.getpid()}" in said[0]
    assert "which is waited for" in said[0]


@pytest.fixture
def no_locks(monkeypatch):
    """A file system without them."""

    def none(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", none)


def test_where_there_are_no_locks_a_run_goes_on_with_a_warning(tmp_path, no_locks):
    said: list[str] = []
    with Workdir(tmp_path).alone(said.append):
        pass
    assert "knows no locks" in said[0]


def test_where_there_are_no_locks_a_sweep_goes_on_with_one_warning(tmp_path, no_locks, capsys):
    place = Place(tmp_path, Stage("phantom", "cine"))
    for _ in range(2):
        with place.turn():
            pass
    assert capsys.readouterr().err.count("knows no locks") == 1


@pytest.mark.parametrize(
    "ask",
    [
        jaxssl.probe,
        evaluate,
        jaxssl.saliency,
        lambda run: jaxssl.segment(run, run.parent, run / "new"),
        lambda run: jaxssl.predict(run, run.parent, run / "masks"),
    ],
)
def test_nothing_is_asked_of_a_run_that_is_not_finished(ask, tmp_path):
    for name, said in {"recipe": {}, "run": {"status": "stopped"}}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(said))
    with pytest.raises(UserError, match="is not finished; give the command that began it again"):
        ask(tmp_path)


def test_told_to_stop_while_it_reads_a_checkpoint_it_does_not_take_that_for_damage(store, tmp_path, monkeypatch):
    run = tmp_path / "run"
    assert main(words(store, run)) == 0
    (run / "run.json").write_text(json.dumps({**json.loads((run / "run.json").read_text()), "status": "running"}))
    before = sorted(path.name for path in (run / "checkpoints").iterdir())

    def interrupted(*_):
        raise Preempted("Told to stop.")

    monkeypatch.setattr("jaxssl.train.stored.readable", interrupted)
    assert main(words(store, run)) == 75
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == before
