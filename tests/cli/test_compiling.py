"""The notice on the compilation of loops: once, and only if there is something to compile."""

import numba
import pytest

from graphmix.cli.compiling import NOTICE, announcing_compilation


def test_compilation_is_announced_once(capsys: pytest.CaptureFixture[str]):
    first, second = numba.njit(lambda x: x + 1), numba.njit(lambda x: x + 2)
    with announcing_compilation():
        assert first(1) + second(1) == 5
    assert capsys.readouterr().out == NOTICE + "\n"


def test_what_is_ready_is_not_announced(capsys: pytest.CaptureFixture[str]):
    ready, later = numba.njit(lambda x: x + 1), numba.njit(lambda x: x + 2)
    ready(1)
    with announcing_compilation():
        ready(2)
    later(1)
    assert capsys.readouterr().out == ""
