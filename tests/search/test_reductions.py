"""What compressors, gates and limiters take off: closed forms on a steady tone, and what is read back."""

from pathlib import Path

import pytest
import torch

from graphmix.audio import load_stems, write_audio
from graphmix.audio.song import Song
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.tables import Reduction
from graphmix.processors.rack import Rack
from graphmix.processors.ride import Ride
from graphmix.search.reductions import KEY, measure_reductions, plain_reductions, read_reductions

RATE = 30000
RACK = Rack.standard(RATE)
LEVEL_DB = -10.0


def steady(folder: Path) -> Song:
    """Two seconds of a tone at -10 dB re full scale (mean square), then two seconds of silence."""
    time = torch.arange(2 * RATE) / RATE
    tone = 10 ** (LEVEL_DB / 20) * 2**0.5 * torch.sin(2 * torch.pi * 1000 * time)
    write_audio(folder / "tone.wav", torch.cat([tone, torch.zeros(2 * RATE)]).expand(2, -1), RATE)
    return load_stems(folder, RATE)


def in_a_row(*nodes: tuple[str, dict], rack: Rack = RACK) -> MixGraph:
    graph = MixGraph(rack.types, RATE)
    ids = [graph.add(kind, **values) for kind, values in nodes]
    return graph.chain(graph.add("in", name="tone.wav"), *ids, graph.add("out"))


def test_a_steady_tone_is_turned_down_by_what_the_curve_says(tmp_path: Path) -> None:
    settings = {"threshold_db": -25.0, "ratio": 3.0, "knee_db": 0.1, "time_ms": 5.0}
    compressor = ("compressor", settings)
    half = ("compressor", {**settings, "threshold_db": -35.0, "wet": 0.5})
    limiter = ("limiter", {"ceiling_db": -30.0, "release_ms": 1.0})
    off = (1 - 1 / 3) * (LEVEL_DB + 25)
    after = LEVEL_DB - off
    more = -20 * torch.log10(torch.tensor(0.5 * 10 ** (-(1 - 1 / 3) * (after + 35) / 20) + 0.5)).item()
    last = after - more + 3.0103 + 30  # the tone's peak over the ceiling
    found = measure_reductions(in_a_row(compressor, half, limiter), steady(tmp_path), RACK)
    for node, wanted in ((0, off), (1, more)):
        assert found[node].mean_db == pytest.approx(wanted, abs=0.15)
        assert wanted - 0.1 <= found[node].most_db <= wanted + 0.5
    assert found[2].mean_db == pytest.approx(last, abs=0.3)
    assert found[2].most_db > last + 3, "before the compressors have seen the tone"


def test_a_ride_is_where_it_is_in_the_song(tmp_path: Path) -> None:
    times = [0.0, 0.5, 0.51, *[0.51] * 29]
    ride = ("ride", {"time_s": times, "gain_db": [0.0, 0.0, *[-120.0] * 30]})
    compressor = ("compressor", {"threshold_db": -25.0, "ratio": 3.0, "knee_db": 0.1, "time_ms": 5.0})
    rack = Rack([*Rack.standard(RATE), *([] if "ride" in RACK else [Ride(RATE)])])
    found = measure_reductions(in_a_row(ride, compressor, rack=rack), steady(tmp_path), rack)
    assert found[1].most_db == pytest.approx((1 - 1 / 3) * (LEVEL_DB + 25), abs=0.5)


def test_silence_does_not_count_and_graphs_without_dynamics_are_not_rendered(tmp_path: Path) -> None:
    song = steady(tmp_path)
    gate = ("noisegate", {"threshold_db": -60.0, "ratio": 20.0, "time_ms": 1.0})
    assert measure_reductions(in_a_row(gate), song, RACK)[0].mean_db < 0.5
    muted = in_a_row(("gain", {"gain_db": -120.0}), ("compressor", {}))
    assert measure_reductions(muted, song, RACK) == {}
    assert measure_reductions(in_a_row(("gain", {})), song, RACK) == {}


def test_what_was_stored_is_read_back_and_damage_left_out() -> None:
    graph = in_a_row(("compressor", {}), ("gain", {}))
    found = {0: Reduction(2.5, 7.0)}
    assert read_reductions({KEY: plain_reductions(found)}, graph) == found
    damaged = [{"node": 99, "mean_db": 1, "most_db": 2}, {"node": 0}, {"node": "x", "mean_db": 0, "most_db": 0}, 7]
    assert read_reductions({KEY: damaged}, graph) == {}
    assert read_reductions({}, graph) == {}
