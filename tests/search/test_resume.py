"""A search that was interrupted, wherever, ends in the same bits as an undisturbed one."""

import importlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from graphmix.audio import Song, load_song, read_audio
from graphmix.errors import SearchError
from graphmix.graph.storage import load_graph
from graphmix.memory import Memory
from graphmix.search import DRAFT, Mined, SearchSettings
from graphmix.search.search_state import SearchState
from tests.small_song import RATE, SETTINGS, same_graph
from tests.small_song import mine_without_plots as mine

MINE = importlib.import_module("graphmix.search.mine_song")
SHORT = replace(SETTINGS, chain="g", tolerance=0.05)


class Interrupting:
    """A listener that presses Ctrl-C at its n-th call, and counts; 0 never does."""

    def __init__(self, at: int = 0) -> None:
        self.at, self.calls = at, 0
        self.where: list[str] = []

    def phase(self, name: str, total: int | None, done: int = 0) -> None:
        self.where.append(name)
        self._call()

    def progress(self, done: int, total: int | None = None, **numbers: float) -> None:
        self.where.append(f"{self.where[-1].removesuffix('+')}+")
        self._call()

    def _call(self) -> None:
        self.calls += 1
        if self.calls == self.at:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def song(tiny_folder: Path) -> Song:
    return load_song(tiny_folder, RATE)


@pytest.fixture(scope="module")
def undisturbed(song: Song, tmp_path_factory: pytest.TempPathFactory) -> tuple[Mined, Interrupting]:
    listener = Interrupting()
    return mine(song, tmp_path_factory.mktemp("whole") / "out", SHORT, device="cpu", listener=listener), listener


@pytest.fixture
def saving_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MINE, "SAVE_EVERY_SECONDS", 0.0)


def timeless(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Metrics and trace without what a clock says."""
    metrics = json.loads((folder / "metrics.json").read_text())
    del metrics["seconds"]
    trace = [json.loads(line) for line in (folder / "trace.jsonl").read_text().splitlines()]
    return metrics, [{k: v for k, v in record.items() if k != "seconds"} for record in trace]


def assert_same(one: Mined, other: Mined) -> None:
    assert same_graph(one.graph, other.graph)
    assert same_graph(load_graph(one.folder / "graph.safetensors"), other.graph)
    assert timeless(one.folder) == timeless(other.folder)
    assert torch.equal(read_audio(one.folder / "mix.wav"), read_audio(other.folder / "mix.wav"))
    assert sorted(p.name for p in one.folder.iterdir()) == sorted(p.name for p in other.folder.iterdir())


# --- Ctrl-C


def test_the_undisturbed_search_has_all_phases(undisturbed):
    where = undisturbed[1].where
    assert {"finding levels", "fitting the console+", "pruning 1/2+", "fine-tuning 1/2+", "pruning 2/2+"} <= set(where)
    assert where[-1] == "writing"


@pytest.mark.usefixtures("saving_always")
@pytest.mark.parametrize(
    "where", ["finding levels", "fitting the console+", "pruning 1/2+", "fine-tuning 2/2+", "writing"]
)
def test_interrupted_once_and_resumed_it_ends_the_same(song, undisturbed, tmp_path, where):
    whole, listener = undisturbed
    places = [i + 1 for i, name in enumerate(listener.where) if name == where]
    at = random.Random(where).choice(places)
    with pytest.raises(KeyboardInterrupt):
        mine(song, tmp_path / "out", SHORT, device="cpu", listener=Interrupting(at))
    assert not (tmp_path / "out" / "metrics.json").exists()
    rest = Interrupting()
    resumed = mine(song, tmp_path / "out", SHORT, device="cpu", listener=rest)
    assert_same(resumed, whole)
    if where != "finding levels":
        assert "finding levels" not in rest.where, "it was resumed and did not begin again"
    assert rest.calls <= listener.calls - at + 2


@pytest.mark.usefixtures("saving_always")
def test_interrupted_again_and_again_it_ends_the_same(song, undisturbed, tmp_path):
    whole, listener = undisturbed
    for attempt in range(listener.calls):
        try:
            resumed = mine(song, tmp_path / "out", SHORT, device="cpu", listener=Interrupting(4 + attempt % 3))
            break
        except KeyboardInterrupt:
            continue
    assert attempt > 2
    assert_same(resumed, whole)


def test_without_a_recent_checkpoint_it_ends_the_same(song, undisturbed, tmp_path):
    """Checkpoints are written every so many seconds: here only the first one is."""
    whole, listener = undisturbed
    with pytest.raises(KeyboardInterrupt):
        mine(song, tmp_path / "out", SHORT, device="cpu", listener=Interrupting(listener.calls - 2))
    assert_same(mine(song, tmp_path / "out", SHORT, device="cpu"), whole)


@pytest.mark.usefixtures("saving_always")
def test_a_key_pressed_in_the_middle_of_a_step_does_no_harm(song, undisturbed, tmp_path, monkeypatch):
    """Ctrl-C comes anywhere: here after the optimizer has moved the numbers and before the state was kept."""
    real, steps = torch.optim.AdamW.step, []

    def step(self: torch.optim.AdamW, *args: Any) -> Any:
        result = real(self, *args)
        steps.append(1)
        if len(steps) == 3:
            raise KeyboardInterrupt
        return result

    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", step)
        with pytest.raises(KeyboardInterrupt):
            mine(song, tmp_path / "out", SHORT, device="cpu")
    assert_same(mine(song, tmp_path / "out", SHORT, device="cpu"), undisturbed[0])


@pytest.mark.usefixtures("saving_always")
def test_a_chain_with_memory_and_moments_resumes_as_well(song, tmp_path):
    settings = replace(SETTINGS, chain="cd", rounds=0, steps=3, final_rate=0.1)
    whole = mine(song, tmp_path / "whole", settings, device="cpu")
    with pytest.raises(KeyboardInterrupt):
        mine(song, tmp_path / "out", settings, device="cpu", listener=Interrupting(4))
    assert_same(mine(song, tmp_path / "out", settings, device="cpu"), whole)


@pytest.mark.usefixtures("saving_always")
@pytest.mark.parametrize(
    ("policy", "kept_bytes"),
    [
        pytest.param(policy, kept, marks=pytest.mark.slow)
        for policy, kept in (("leave-one-out", 2**32), ("leave-one-out", 0), ("first-order", 0))
    ],
)
def test_raced_trials_resume_the_same_with_render_caches_and_without(song_folder, tmp_path, policy, kept_bytes):
    """Interrupted after each second trial; what was removed by then is removed again, from new render caches."""
    settings = replace(SETTINGS, policy=policy, race=True, tolerance=0.15, steps=0, rounds=1, round_steps=1)
    memory = Memory(kept_bytes)
    whole = mine(song_folder, tmp_path / "whole", settings, device="cpu", memory=memory)
    records = [json.loads(line) for line in (whole.folder / "trace.jsonl").read_text().splitlines()]
    tried = [(r["kept"], *r["segments"]) for r in records if r["event"] == "trial"]
    assert (True, 2, 2) in tried[1:-1], "something is removed, and then there are other trials"
    assert (False, 1, 2) in tried, "a hopeless one"
    for _ in range(len(tried) + 5):
        try:
            resumed = mine(
                song_folder, tmp_path / "out", settings, device="cpu", listener=Interrupting(3), memory=memory
            )
            break
        except KeyboardInterrupt:
            continue
    assert_same(resumed, whole)


@pytest.mark.usefixtures("saving_always")
@pytest.mark.parametrize("at", [6, pytest.param(12, marks=pytest.mark.slow)])
def test_another_budget_of_memory_ends_the_same(song, undisturbed, tmp_path, at):
    """Begun with all in memory, resumed with the song in a file and without render caches, and the reverse."""
    for name, budgets in {"less": (2**32, 0), "more": (0, 2**32)}.items():
        first = {"listener": Interrupting(at), "memory": Memory(budgets[0])}
        with pytest.raises(KeyboardInterrupt):
            mine(song.folder, tmp_path / name, SHORT, device="cpu", **first)
        resumed = mine(song.folder, tmp_path / name, SHORT, device="cpu", memory=Memory(budgets[1]))
        assert same_graph(resumed.graph, undisturbed[0].graph)


# --- checkpoints that do not fit


@pytest.fixture
def cut(song: Song, tmp_path: Path, saving_always: None) -> Path:
    with pytest.raises(KeyboardInterrupt):
        mine(song, tmp_path / "out", SHORT, device="cpu", listener=Interrupting(4))
    return tmp_path / "out"


def test_a_damaged_checkpoint_is_refused_and_kept(song, cut):
    path = cut / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(SearchError, match="is no checkpoint of a search, or damaged"):
        mine(song, cut, SHORT, device="cpu")
    assert path.exists()


def test_a_checkpoint_of_another_run_is_refused(song, cut):
    path = cut / "checkpoint.safetensors"
    state, run = SearchState.load(path, MINE.Rack.console(SHORT.chain, RATE))
    state.save(path, {**run, "settings": {**run["settings"], "seed": 7}})
    with pytest.raises(SearchError, match=r"belongs to another run. Delete it"):
        mine(song, cut, SHORT, device="cpu")


def test_other_settings_do_not_resume_an_unfinished_run(song, cut):
    with pytest.raises(SearchError, match="mined with seed = 0, not 3"):
        mine(song, cut, replace(SHORT, seed=3), device="cpu")


def test_what_a_kill_left_half_written_is_cleared_away(song, cut, undisturbed):
    (cut / ".0123456789abcdef.part").write_bytes(b"half")
    assert_same(mine(song, cut, SHORT, device="cpu"), undisturbed[0])


def test_a_kill_before_the_first_file_was_there_does_no_harm(song, tmp_path, undisturbed):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".0123456789abcdef.part").write_bytes(b"half a run.json")
    assert_same(mine(song, tmp_path / "out", SHORT, device="cpu"), undisturbed[0])


# --- kill -9

ALONE = ("--align", "off", "--rides", "off", "--ducking", "off", "--no-full-band", "--no-report")

PROGRAM = """
import functools, importlib, sys
importlib.import_module("graphmix.search.mine_song").SAVE_EVERY_SECONDS = 0.0
search = importlib.import_module("graphmix.search")
search.mine = functools.partial(search.mine, plots=False)
sys.argv[0] = "graphmix"
importlib.import_module("graphmix.cli").main()
"""


def start(folder: Path, out: Path, arguments: list[str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, "mine", str(folder), "--out", str(out), *ALONE]
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    nowhere = subprocess.DEVNULL
    return subprocess.Popen([*command, *arguments], env=environment, stdout=nowhere, stderr=nowhere)


def kill_after_checkpoints(process: subprocess.Popen[bytes], path: Path, count: int, delay: float) -> bool:
    """Kill after so many new checkpoints were seen and a moment more; False if it was over before."""
    seen: set[int] = set()
    while process.poll() is None:
        try:
            seen.add(path.stat().st_mtime_ns)
        except FileNotFoundError:
            if len(seen) > 1:  # finished, and the checkpoint is gone
                break
        if len(seen) > count:
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
            process.wait()
            return process.returncode == -signal.SIGKILL
        time.sleep(0.001)
    process.wait()
    return False


def killed_and_resumed(folder: Path, out: Path, settings: SearchSettings, arguments: list[str], kills: int) -> Mined:
    chance = random.Random(4)
    for _ in range(kills):
        process = start(folder, out, arguments)
        was_killed = kill_after_checkpoints(
            process, out / "checkpoint.safetensors", chance.randint(1, 4), chance.uniform(0, 0.05)
        )
        assert was_killed or process.returncode == 0
    return mine(folder, out, settings, device="cpu")


def test_killed_at_a_random_moment_it_ends_the_same(tiny_folder, tmp_path):
    settings = replace(DRAFT, chain="g", master="", tolerance=0.05).scaled(4, 2)
    arguments = ["--device", "cpu", "--chain", "g", "--tolerance", "0.05", "--steps", "4", "--rounds", "2"]
    whole = mine(tiny_folder, tmp_path / "whole", settings, device="cpu")
    resumed = killed_and_resumed(tiny_folder, tmp_path / "out", settings, arguments, kills=1)
    assert_same(resumed, whole)


@pytest.mark.slow
def test_killed_many_times_with_the_whole_chain_it_ends_the_same(song_folder, tmp_path):
    settings = DRAFT.scaled(12, 4)
    arguments = ["--device", "cpu", "--steps", "12", "--rounds", "4"]
    whole = mine(song_folder, tmp_path / "whole", settings, device="cpu")
    resumed = killed_and_resumed(song_folder, tmp_path / "out", settings, arguments, kills=15)
    assert_same(resumed, whole)
