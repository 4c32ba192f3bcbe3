"""Proposals keep the rules, whatever a model proposes; each rule by hand, and all of them on random proposals."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from graphmix.audio import Song, load_song, write_audio
from graphmix.audio.loudness import loudness
from graphmix.graph import mixing_console
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.rack import Rack
from graphmix.training.rule_checks import broken_rules
from graphmix.training.rules import (
    Rules,
    apply_rules,
    is_low_part,
    peak_db,
    sustained_tracks,
    width_db,
)

RATE = 30000
SECONDS = 1.2


def tracks() -> dict[str, Tensor]:
    """A kick that pauses, a bass that never does, a stereo noise that comes and goes."""
    generator = torch.Generator().manual_seed(3)
    time = torch.arange(round(SECONDS * RATE)) / RATE
    kick = torch.sin(2 * torch.pi * 60 * time) * torch.exp(-40 * (time % 0.4))
    bass = 0.3 * torch.sin(2 * torch.pi * 90 * time)
    noise = 0.1 * torch.randn(2, len(time), generator=generator) * ((torch.sin(9 * time) > 0) + 0.005)
    return {"1_kick.wav": kick.expand(2, -1), "2_bass.wav": bass.expand(2, -1), "3_keys.wav": noise}


def write(folder: Path, audio: dict[str, Tensor], mix: Tensor | None = None) -> Song:
    (folder / "dry").mkdir(parents=True)
    for name, track in audio.items():
        write_audio(folder / "dry" / name, track, RATE)
    write_audio(folder / "mix.wav", torch.stack(list(audio.values())).sum(0) if mix is None else mix, RATE)
    (folder / "song.json").write_text(json.dumps({"name": "ruled", "mix": "mix.wav", "stems": "dry"}))
    return load_song(folder, RATE)


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Song:
    return write(tmp_path_factory.mktemp("ruled") / "song", tracks())


@pytest.fixture(scope="module")
def mono(tmp_path_factory: pytest.TempPathFactory) -> Song:
    audio = {name: track for name, track in tracks().items() if name != "3_keys.wav"}
    return write(tmp_path_factory.mktemp("ruled") / "mono", audio)


def console(song: Song, chain: str, buses: int = 1) -> tuple[MixGraph, Rack]:
    rack = Rack.console(chain, RATE)
    groups = {f"bus {i}": song.track_names[i::buses] for i in range(buses)}
    return mixing_console(rack, groups, chain), rack


@pytest.mark.parametrize(
    ("name", "low"),
    [
        ("Kick In.wav", True),
        ("Bass Drum", True),
        ("808_bd", True),
        ("synth bass", True),
        ("snare", False),
        ("pad", False),
    ],
)
def test_low_parts_are_known_by_name(name: str, low: bool) -> None:
    assert is_low_part(name) is low


def test_a_gate_goes_from_what_never_pauses_and_stays_where_there_are_pauses(song: Song) -> None:
    assert sustained_tracks(song) == {"2_bass.wav"}
    graph, rack = console(song, "n", buses=3)
    ruled = apply_rules(graph, song, rack, Rules(centered=False, mono=False, peak_db=None, lufs=None))
    assert ruled.graph.nodes_of("noisegate").numel() == 4  # of two tracks and their buses
    assert "2 of 6 gates" in ruled.changes[0]
    assert graph.nodes_of("noisegate").numel() == 6


def test_a_kick_comes_to_the_middle_and_the_rest_stays(song: Song) -> None:
    graph, rack = console(song, "g", buses=3)
    graph.params["gain"][:3] = torch.tensor([[0.0, -9.0], [-2.0, -2.0], [-20.0, 0.0]])
    ruled = apply_rules(graph, song, rack, Rules(peak_db=None, lufs=None))
    assert ruled.graph.params["gain"][0].tolist() == pytest.approx([-4.5, -4.5])
    assert ruled.graph.params["gain"][2].tolist() == [-20.0, 0.0]
    assert ruled.changes[0].startswith("1 processors that placed 1_kick.wav, 2_bass.wav")


def test_a_place_that_the_user_decided_stays(song: Song) -> None:
    graph, rack = console(song, "g", buses=3)
    graph.params["gain"][0] = torch.tensor([0.0, -9.0])
    rules = Rules(peak_db=None, lufs=None, placed=frozenset({"1_kick.wav"}))
    ruled = apply_rules(graph, song, rack, rules)
    assert ruled.graph.params["gain"][0].tolist() == [0.0, -9.0]
    assert not broken_rules(ruled.graph, song, ruled.rack, rules)


def test_a_recording_off_the_middle_is_brought_there(tmp_path: Path) -> None:
    audio = tracks()
    audio["1_kick.wav"] = audio["1_kick.wav"] * torch.tensor([[1.0], [0.3]])
    song = write(tmp_path / "song", audio)
    graph, rack = console(song, "e")
    assert [b.rule for b in broken_rules(graph, song, rack, Rules(lufs=None, peak_db=None))] == ["centered"]
    ruled = apply_rules(graph, song, rack, Rules(peak_db=None, lufs=None))
    assert not broken_rules(ruled.graph, song, ruled.rack, Rules(lufs=None, peak_db=None))
    assert "10.5 dB off the middle" in " ".join(ruled.changes)


def test_a_mono_mix_gets_no_side_channel(mono: Song) -> None:
    rules = Rules(centered=False, lufs=None, peak_db=None)
    graph, rack = console(mono, "gr")
    graph.wet[graph.nodes_of("reverb")] = 0.3
    assert [b.rule for b in broken_rules(graph, mono, rack, rules)] == ["mono"]
    ruled = apply_rules(graph, mono, rack, rules)
    assert width_db(ruled.mix) < -60
    graph.params["gain"][:, 0] += 6.0  # all to the left: a mono mix no more
    assert broken_rules(graph, mono, rack, rules) == []


@pytest.mark.parametrize("gain", [-50.0, -6.0, 30.0])
def test_loudness_and_true_peaks_come_into_their_ranges(song: Song, gain: float) -> None:
    graph, rack = console(song, "g")
    graph.params["gain"][:3] = gain
    ruled = apply_rules(graph, song, rack, Rules())
    assert peak_db(ruled.mix) <= -1.0
    assert -30.0 <= loudness(ruled.mix, RATE) <= -10.0
    assert not broken_rules(ruled.graph, song, ruled.rack, Rules())


def with_clicks(noise: float) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    audio = noise * torch.randn(2, round(SECONDS * RATE), generator=generator)
    audio[:, ::9000] += 1.0
    return audio


def test_peaks_that_stand_out_too_far_are_limited(tmp_path: Path) -> None:
    song = write(tmp_path / "song", {"snare.wav": with_clicks(0.01)})
    graph, rack = console(song, "g")
    ruled = apply_rules(graph, song, rack, Rules(lufs=(-28.0, -10.0)))
    assert ruled.graph.nodes_of("true_peak_limiter").numel() == 1
    assert loudness(ruled.mix, RATE) >= -28.0
    assert peak_db(ruled.mix) <= -1.0


def test_clicks_alone_keep_their_headroom_and_it_is_said_that_they_are_soft(tmp_path: Path) -> None:
    song = write(tmp_path / "song", {"snare.wav": with_clicks(0.0)})
    graph, rack = console(song, "g")
    ruled = apply_rules(graph, song, rack, Rules())
    assert peak_db(ruled.mix) <= -1.0
    assert "cannot be louder than" in " ".join(ruled.changes)
    assert [b.rule for b in broken_rules(ruled.graph, song, ruled.rack, Rules())] == ["loudness"]


def test_a_silent_mix_is_left_alone(song: Song) -> None:
    graph, rack = console(song, "g")
    graph.params["gain"][:] = -120.0
    ruled = apply_rules(graph, song, rack, Rules(centered=False))
    assert not ruled.changes
    assert ruled.graph is graph


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**31), buses=st.integers(1, 3), is_mono=st.booleans(), dropped=st.floats(0, 0.9))
def test_random_proposals_keep_all_rules(
    song: Song, mono: Song, seed: int, buses: int, is_mono: bool, dropped: float
) -> None:
    from graphmix.graph.editing import remove_nodes

    own = mono if is_mono else song
    graph, rack = console(own, "engsr", buses)
    generator = torch.Generator().manual_seed(seed)
    graph.wet[graph.prunable] = torch.rand(int(graph.prunable.sum()), generator=generator)
    for processor in rack:
        name = processor.node_type.name
        raw = processor.to_raw(graph.params[name])
        low, high = processor.node_type.bounds()
        moved = processor.from_raw(raw + torch.randn(raw.shape, generator=generator))
        graph.params[name] = moved.clamp(low, high)
    out = graph.prunable & (torch.rand(graph.num_nodes or 0, generator=generator) < dropped)
    graph = remove_nodes(graph, out)
    ruled = apply_rules(graph, own, rack, Rules())
    assert broken_rules(ruled.graph, own, ruled.rack, Rules()) == []
