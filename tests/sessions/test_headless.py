"""Ardour's command held at the line that it prints before it exports; any other command stands for it."""

import subprocess
from time import monotonic

import pytest

from graphmix.sessions.headless import SETTLE_SECONDS, run_when_settled


def test_a_command_waits_at_its_first_line_and_all_that_it_says_is_returned():
    begin = monotonic()
    said = run_when_settled(["sh", "-c", "echo Writing; echo Done; echo warned >&2"], limit=30)
    assert monotonic() - begin > SETTLE_SECONDS
    assert said == "Writing\nDone\nwarned\n"


def test_a_command_that_ends_without_a_line_is_not_waited_for():
    assert run_when_settled(["false"], limit=30) == ""


def test_a_command_that_hangs_is_ended():
    with pytest.raises(subprocess.TimeoutExpired):
        run_when_settled(["sleep", "60"], limit=2)
