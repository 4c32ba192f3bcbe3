"""Effect files from strangers load and run, or fail with one error, in bounded time and memory."""

import os
from pathlib import Path

import pytest

from graphmix.errors import GraphmixError
from graphmix.models.effects import load_effect
from tests.fuzzing import check_bounds, run_script

SCRIPT = Path(__file__).with_name("fuzzed_effects.py")


def check(folder: Path, count: int, seed: int) -> None:
    result = run_script(SCRIPT, folder, count, seed)
    check_bounds(result)
    for kind in (".nam", ".safetensors"):
        assert sum(result[kind].values()) == count // 2
        assert min(result[kind].values()) > count // 200  # some do load: a changed number is no damage
    assert result["absurd"] == {"loaded": 0, "refused": 17}


def test_a_thousand_files_from_strangers(tmp_path: Path) -> None:
    check(tmp_path, 1_000, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3])
def test_forty_thousand_files_from_strangers(tmp_path: Path, seed: int) -> None:
    check(tmp_path, 20_000, seed)


@pytest.mark.parametrize("ending", [".safetensors", ".nam"])
def test_a_pipe_a_device_and_an_impossible_name_are_refused_without_waiting(tmp_path: Path, ending: str) -> None:
    pipe = tmp_path / f"pipe{ending}"
    os.mkfifo(pipe)
    endless = tmp_path / f"zero{ending}"
    endless.symlink_to("/dev/zero")
    for path in (pipe, endless):
        with pytest.raises(GraphmixError, match=r"cannot load .*: it is no regular file\."):
            load_effect(path)
    with pytest.raises(GraphmixError, match="there is no such file"):
        load_effect(f"a\0b{ending}")
