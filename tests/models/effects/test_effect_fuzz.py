"""Effect files from strangers load and run, or fail with one error, in bounded time and memory."""

from pathlib import Path

import pytest

from graphmix.errors import GraphmixError
from graphmix.models.effects import load_effect
from tests.fuzzing import check_bounds, check_what_is_no_file, run_script

SCRIPT = Path(__file__).with_name("fuzzed_effects.py")


def check(folder: Path, count: int, seed: int) -> None:
    result = run_script(SCRIPT, folder, count, seed)
    check_bounds(result)
    for kind in (".nam", ".safetensors"):
        assert sum(result[kind].values()) == count // 2
        assert min(result[kind].values()) > count // 200  # some do load: a changed number is no damage
    assert result["absurd"] == {"loaded": 0, "refused": 17 if count >= 1000 else 6}


@pytest.mark.parametrize("count", [300, pytest.param(1_000, marks=pytest.mark.slow)])
def test_hundreds_or_a_thousand_files_from_strangers(tmp_path: Path, count: int) -> None:
    check(tmp_path, count, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3])
def test_forty_thousand_files_from_strangers(tmp_path: Path, seed: int) -> None:
    check(tmp_path, 20_000, seed)


@pytest.mark.parametrize("ending", [".safetensors", ".nam"])
def test_a_pipe_a_device_and_an_impossible_name_are_refused_without_waiting(tmp_path: Path, ending: str) -> None:
    check_what_is_no_file(tmp_path, ending, load_effect, GraphmixError)
