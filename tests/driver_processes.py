"""A collection of tiny songs, and a program that mines it in processes of its own, which tests may kill."""

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import torch

from graphmix.search import SearchSettings
from tests.small_song import RATE, SETTINGS, dry_tracks, write_song

ROOT = Path(__file__).resolve().parent.parent
TINY = replace(SETTINGS, chain="g", tolerance=0.05, rounds=1)
"""Four steps, one round of trials, two steps."""
CONSOLE_ALONE = {"align": False, "rides": False, "ducking": False}
HERE: dict[str, Any] = {"workers": 0, "device": "cpu", "plots": False, **CONSOLE_ALONE}
"""Options of mining in this process; looking for more than the console takes most of the time of a tiny song."""

PROGRAM = """
import importlib, json, os, signal, sys, time
from pathlib import Path

MINE = importlib.import_module("graphmix.search.mine_song")
MINE.SAVE_EVERY_SECONDS = 0.0
begin, finish = MINE.begin_search, MINE.write_results


def slow_or_deadly_begin(console, objective, *rest):
    name = objective.song.name
    mark = Path(os.environ["LOG"]).with_name(name)
    if "always deadly" in name or ("once deadly" in name and not mark.exists()):
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(float(os.environ.get("SLOWLY", "0")))
    return begin(console, objective, *rest)


def logged_finish(output, *rest, plots, **more):
    mined = finish(output, *rest, plots=False, **more)
    with open(os.environ["LOG"], "a") as log:
        log.write(output.path.name + "\\n")
    return mined


MINE.begin_search, MINE.write_results = slow_or_deadly_begin, logged_finish

if __name__ == "__main__":
    from graphmix.mining.mine_collection import mine_all
    from graphmix.search import SearchSettings

    what = json.loads(sys.argv[1])
    try:
        standing = mine_all(what["songs"], what["out"], SearchSettings(**what["settings"]), **what["options"])
    except KeyboardInterrupt:
        sys.exit(130)
    names = "mined", "already", "elsewhere", "failed", "notices"
    print(json.dumps({name: getattr(standing, name) for name in names}))
"""
"""Spawned workers run all but the last part of it as well."""


def write_tiny(folder: Path, name: str, seconds: float = 1.0, balance: float = 0.5) -> Path:
    """A song of two tracks."""
    tracks = {track: audio[:, : round(seconds * RATE)] for track, audio in list(dry_tracks().items())[1:]}
    first, second = tracks.values()
    mix = balance * first + 0.3 * second
    return write_song(folder / name, tracks, mix + 0.2 * mix.roll(90, 1), name)


def write_collection(folder: Path, count: int = 4) -> Path:
    """Songs of different lengths, named in the reverse of their order of length."""
    for i in range(count):
        write_tiny(folder, f"song {i}", 0.6 + 0.1 * i, 0.3 + 0.1 * i)
    return folder


class Drivers:
    """Starts drivers in a folder, and ends those that are left."""

    def __init__(self, folder: Path) -> None:
        self.program, self.log = folder / "program.py", folder / "log"
        self.program.write_text(PROGRAM)
        self.log.touch()
        self.started: list[subprocess.Popen[str]] = []

    def start(self, songs: Path, out: Path, slowly: float = 0.0, **options: Any) -> "subprocess.Popen[str]":
        settings: SearchSettings = options.pop("settings", TINY)
        options = {"workers": 1, "threads": torch.get_num_threads(), "device": "cpu", **CONSOLE_ALONE, **options}
        what = {"songs": str(songs), "out": str(out), "settings": settings.to_dict(), "options": options}
        command = [sys.executable, "-W", "ignore", str(self.program), json.dumps(what)]
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, "LOG": str(self.log), "SLOWLY": str(slowly), "PYTHONPATH": path}
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        self.started.append(process)
        return process

    def run(self, songs: Path, out: Path, **options: Any) -> dict[str, Any]:
        """To its end -> what it says."""
        process = self.start(songs, out, **options)
        return self.finish(process)

    def finish(self, process: "subprocess.Popen[str]", seconds: float = 300) -> dict[str, Any]:
        said, errors = process.communicate(timeout=seconds)
        assert process.returncode == 0, errors
        return json.loads(said.splitlines()[-1])

    def finished(self) -> Counter[str]:
        """How often each song was finished."""
        return Counter(self.log.read_text().splitlines())

    def stop(self) -> None:
        for process in self.started:
            for one in [*workers_of(process), process]:
                if one.poll() is None if isinstance(one, subprocess.Popen) else one.is_running():
                    one.kill()
            process.communicate()


def workers_of(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    """The worker processes of a driver."""
    try:
        children = psutil.Process(process.pid).children(recursive=True)
        return [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    except psutil.NoSuchProcess:
        return []


def digests(out: Path) -> dict[str, str]:
    """Song id -> digest of the bytes of its graph file."""
    found = sorted(out.rglob("graph.safetensors"))
    return {path.parent.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


FILES = {"console.safetensors", "graph.json", "graph.safetensors", "metrics.json", "mix.wav", "run.json", "trace.jsonl"}


def assert_complete(out: Path, expected: dict[str, str]) -> None:
    """Every song is there once, with all its files and no other, and has these graphs."""
    assert digests(out) == expected
    for song in expected:
        assert {path.name for path in (out / song).iterdir()} == FILES, song
        assert json.loads((out / song / "metrics.json").read_text())["song"] == song
    around = {path.name for path in out.iterdir()} - {song.split("/")[0] for song in expected}
    assert around == {"catalogue.sqlite", "mine_all.json"}
