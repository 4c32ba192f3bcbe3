"""Folders of logs, and signals during a step."""

import os
import signal
import threading
from pathlib import Path

import pytest

from graphmix.training.devices import caught_interrupt, new_log_folder


def test_every_start_has_a_log_folder_of_its_own(tmp_path: Path) -> None:
    first = new_log_folder(tmp_path, 3)
    assert first == tmp_path / "log" / "from_3"
    first.mkdir(parents=True)
    assert new_log_folder(tmp_path, 3) == tmp_path / "log" / "from_3_2"


def kill_myself(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)
    threading.Event().wait(5)  # the handler runs between two steps of the interpreter


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_sets_the_event_and_a_second_one_interrupts(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with caught_interrupt() as interrupted:
        os.kill(os.getpid(), number)
        assert interrupted.wait(timeout=5)
        with pytest.raises(KeyboardInterrupt):
            kill_myself(number)
    assert signal.getsignal(number) == before


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with caught_interrupt() as interrupted:
            os.kill(os.getpid(), signal.SIGINT)
        assert not interrupted.is_set()
    finally:
        signal.signal(signal.SIGINT, before)
