"""A tiny song, a graph that fits its tracks, and the program run in this process."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from graphmix.cli import main
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.storage import save_graph
from graphmix.processors.rack import Rack
from tests.small_song import RATE, TRACKS, write_tiny_song


@dataclass(frozen=True)
class Outcome:
    """What a run of the program left."""

    status: int
    out: str
    err: str


Program = Callable[..., Outcome]
WITH_PAGES = ("capture", "demo", "mine", "predict", "program", "separate")
"""Commands that write a page, which takes seconds; it has tests of its own, and here it is written on request."""


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    """Run ``graphmix`` with arguments, without the page that it would write unless they ask for it."""

    def run(*arguments: object) -> Outcome:
        if arguments and arguments[0] in WITH_PAGES and "--report" not in arguments:
            arguments = (*arguments, "--no-report")
        monkeypatch.setattr(sys, "argv", ["graphmix", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return Outcome(int(stop.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def song_folder(tmp_path: Path) -> Path:
    """A song that a test may spoil."""
    return write_tiny_song(tmp_path / "song")


def a_graph() -> MixGraph:
    """Nodes: 0 in, 1 in, 2 gain, 3 compressor, 4 mix, 5 out; 0 > 2 > 4, 1 > 3 > 4, 4 > 5."""
    graph = MixGraph(Rack.console("gc", RATE).types, RATE)
    one, two = (graph.add("in", name=track) for track in TRACKS[1:])
    gain = graph.add("gain", gain_db=[-6.0, -3.0])
    compressor = graph.add("compressor", threshold_db=-30.0, ratio=3.0)
    mix, out = graph.add("mix", name="all"), graph.add("out", name="mix")
    graph.chain(one, gain, mix)
    graph.chain(two, compressor, mix, out)
    return graph


@pytest.fixture
def graph_file(tmp_path: Path) -> Path:
    """A graph of the song, as JSON with each parameter on its own."""
    path = save_graph(a_graph(), tmp_path / "graph.json")
    path.write_text(json.dumps(json.loads(path.read_text()), indent=1))
    return path
