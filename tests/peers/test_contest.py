"""How often a contest lets its contenders work, and which of their runs count."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def contest() -> ModuleType:
    path = ROOT / "benchmarks" / "peers" / "contest.py"
    spec = importlib.util.spec_from_file_location("contest", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def answers(**seconds: list[float]) -> Any:
    left: dict[str, Iterator[float]] = {name: iter(values) for name, values in seconds.items()}
    return lambda name: {"seconds": next(left[name])}


def counted(results: dict[str, list[dict[str, float]]]) -> dict[str, list[float]]:
    return {name: [run["seconds"] for run in runs] for name, runs in results.items()}


def test_the_compilation_of_loops_is_no_result(contest: ModuleType) -> None:
    ask = answers(fresh=[42.0, 0.3, 0.3, 0.3])
    assert counted(contest.repeat(ask, ["fresh"], repeats=2, warmup=2)) == {"fresh": [0.3, 0.3]}


def test_a_job_that_is_slow_when_warm_runs_twice_and_once_counts(contest: ModuleType) -> None:
    ask = answers(slow=[130.0, 100.0], fast=[1.0, 1.0, 0.5, 0.5])
    assert counted(contest.repeat(ask, ["slow", "fast"], 2, warmup=2)) == {"slow": [100.0], "fast": [0.5, 0.5]}


def test_a_single_run_without_warm_up_counts(contest: ModuleType) -> None:
    assert counted(contest.repeat(answers(facts=[50.0]), ["facts"], 1, warmup=0)) == {"facts": [50.0]}
