"""Least squares: known gains come back; silence, hard panning and left-out tracks do no harm."""

from itertools import cycle
from pathlib import Path

import pytest
import torch
from torch import Tensor

from graphmix.audio import load_song
from graphmix.graph.consoles import mixing_console
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.rack import Rack
from graphmix.render.blocks import render_song
from graphmix.search import Objective, find_baselines, sdr
from graphmix.search.levels import FLOOR_DB, power_gains, waveform_gains, with_levels
from tests.small_song import GAINS_DB, RATE, TRACKS, dry_tracks, hidden_graph, mixed, write_song


def amplitude(gains_db: dict[str, list[float]]) -> Tensor:
    return 10 ** (torch.tensor([gains_db[track] for track in TRACKS], dtype=torch.float64) / 20)


def an_objective(folder: Path, tracks: dict[str, Tensor], gains: Tensor) -> Objective:
    """A song whose mix is the tracks times gains [tracks, 2]."""
    mix = sum(audio * gain[:, None].float() for audio, gain in zip(tracks.values(), gains, strict=True))
    assert isinstance(mix, Tensor)
    return Objective(load_song(write_song(folder, tracks, mix), RATE), Rack.console("g", RATE))


def levelled(objective: Objective, gains: Tensor) -> MixGraph:
    song = objective.song
    return with_levels(mixing_console(objective.rack, song.subgroups, "g"), gains, song.track_names)


def sdr_of(objective: Objective, gains: Tensor) -> float:
    song = objective.song
    target = song.read(0, song.num_samples).mix
    assert target is not None
    return float(sdr(prediction=render_song(levelled(objective, gains), song), target=target))


def test_the_gains_of_a_mix_of_gains_and_panning_come_back_exactly(tmp_path):
    objective = an_objective(tmp_path / "song", dry_tracks(), amplitude(GAINS_DB))
    gains = waveform_gains(objective)
    assert gains.shape == (3, 2)
    assert torch.allclose(gains, amplitude(GAINS_DB), rtol=1e-4)
    assert sdr_of(objective, gains) > 60


def test_they_come_back_through_subgroups_as_well(tmp_path):
    tracks = dry_tracks()
    mix = mixed(hidden_graph(equalized=False), tracks)
    objective = Objective(load_song(write_song(tmp_path / "song", tracks, mix), RATE), Rack.console("g", RATE))
    assert sdr_of(objective, waveform_gains(objective)) > 60


def test_gains_of_powers_are_near(tmp_path):
    objective = an_objective(tmp_path / "song", dry_tracks(), amplitude(GAINS_DB))
    error_db = 20 * (power_gains(objective) / amplitude(GAINS_DB)).log10()
    assert error_db.abs().max() < 3


def test_gains_of_powers_survive_a_change_of_phase(tmp_path):
    tracks = dry_tracks()
    flipped = {name: -audio for name, audio in tracks.items()}
    mix = sum(audio * gain[:, None].float() for audio, gain in zip(flipped.values(), amplitude(GAINS_DB), strict=True))
    objective = Objective(load_song(write_song(tmp_path / "song", tracks, mix), RATE), Rack.console("g", RATE))
    assert (20 * (power_gains(objective) / amplitude(GAINS_DB)).log10()).abs().max() < 3
    assert waveform_gains(objective).abs().max() == 0  # no gain above 0 comes nearer to an inverted mix


def test_a_silent_track_changes_nothing(tmp_path):
    tracks = dry_tracks()
    tracks["2_bass.wav"] = torch.zeros_like(tracks["2_bass.wav"])
    objective = an_objective(tmp_path / "song", tracks, amplitude(GAINS_DB))
    gains = waveform_gains(objective)
    assert torch.allclose(gains[[0, 2]], amplitude(GAINS_DB)[[0, 2]], rtol=1e-4)
    assert sdr_of(objective, gains) > 60
    assert power_gains(objective).isfinite().all()


def test_a_track_that_is_not_in_the_mix_starts_at_the_floor(tmp_path):
    wanted = amplitude(GAINS_DB)
    wanted[1] = 0
    objective = an_objective(tmp_path / "song", dry_tracks(), wanted)
    gains = waveform_gains(objective)
    assert gains[1].max() < 1e-5
    assert torch.allclose(gains[[0, 2]], wanted[[0, 2]], rtol=1e-4)
    graph = levelled(objective, gains)
    node = graph.names.index("2_bass.wav")
    follower = int(graph.edge_index[1, graph.edge_index[0] == node][0])
    assert graph.parameter(follower, "gain_db").tolist() == [FLOOR_DB, FLOOR_DB]
    assert sdr_of(objective, gains) > 50


def test_hard_panning_to_one_side_leaves_the_other_channel_without_equations(tmp_path):
    wanted = amplitude(GAINS_DB)
    wanted[:, 1] = 0
    tracks = {name: torch.stack([audio[0], torch.zeros_like(audio[0])]) for name, audio in dry_tracks().items()}
    objective = an_objective(tmp_path / "song", tracks, wanted)
    for solve in (waveform_gains, power_gains):
        assert solve(objective).isfinite().all()
    assert sdr_of(objective, waveform_gains(objective)) > 60


def test_two_equal_tracks_share_a_gain_without_trouble(tmp_path):
    tracks = dry_tracks()
    tracks["2_bass.wav"] = tracks["1_drum.wav"].clone()
    objective = an_objective(tmp_path / "song", tracks, amplitude(GAINS_DB))
    assert sdr_of(objective, waveform_gains(objective)) > 60


@pytest.mark.parametrize("chain", ["g", "egr", "ge", "e", ""])
def test_levels_go_to_the_first_gain_after_each_input_and_nowhere_else(chain):
    rack = Rack.console("egr", RATE)
    graph = mixing_console(rack, {"bus": ["a", "b"]}, chain)
    gains = torch.tensor([[0.5, 0.25], [2.0, 1.0]], dtype=torch.float64)
    result = with_levels(graph, gains, ("a", "b"))
    if "g" in chain:
        expected = torch.tensor([[-6.0206, -12.0412], [6.0206, 0.0], [0.0, 0.0]])  # a, b, bus
        assert torch.allclose(result.params["gain"], expected, atol=1e-3)
    for name, values in graph.params.items():
        assert name == "gain" or torch.equal(result.params[name], values)
    assert graph.params["gain"].abs().sum() == 0, "the given graph is not changed"


def test_levels_find_their_track_by_name_whatever_the_order():
    rack = Rack.console("g", RATE)
    graph = mixing_console(rack, {"one": ["b"], "two": ["a"]}, "g")
    result = with_levels(graph, torch.tensor([[1.0, 1.0], [0.1, 0.1]]), ("a", "b"))
    assert torch.allclose(result.params["gain"][:2, 0], torch.tensor([-20.0, 0.0]), atol=1e-4)


def envelope(kind: str, samples: int) -> Tensor:
    """How the mix is turned down while its tracks go on, [samples]."""
    time = torch.arange(samples) / samples
    if kind == "fade":
        return (1 - (time - 0.8) / 0.1).clamp(0, 1)
    first, last = {"start": (0.0, 0.5), "middle": (0.3, 0.6), "end": (0.5, 1.0), "most": (0.2, 1.0)}[kind]
    return ((time < first) | (time >= last)).float()


SILENCE = {"digital silence": False, "dither": True}
MUTED = [
    pytest.param(kind, dithered, id=f"{kind}, {name}", marks=[] if name == usual else [pytest.mark.slow])
    for kind, usual in zip(("start", "middle", "end", "most", "fade"), cycle(SILENCE))
    for name, dithered in SILENCE.items()
]
"""Each kind with one of both silences in the default suite, and with the other in the slow part."""


@pytest.mark.parametrize(("kind", "dithered"), MUTED)
def test_levels_are_those_of_what_sounds_where_the_mix_is_muted_and_its_tracks_go_on(tmp_path, kind, dithered):
    tracks = {name: torch.cat([audio, audio.flip(-1)], dim=-1) for name, audio in dry_tracks().items()}
    wanted = amplitude(GAINS_DB)
    whole = sum(audio * gain[:, None].float() for audio, gain in zip(tracks.values(), wanted, strict=True))
    assert isinstance(whole, Tensor)
    mix = whole * envelope(kind, whole.size(1))
    if dithered:
        mix = mix + (torch.rand(mix.shape) + torch.rand(mix.shape) - 1) / 2**15
    objective = Objective(load_song(write_song(tmp_path / "song", tracks, mix), RATE), Rack.console("g", RATE))
    assert (20 * (waveform_gains(objective) / wanted).log10()).abs().max() < 0.5
    unmuted = power_gains(an_objective(tmp_path / "unmuted", tracks, wanted))  # the method has an error of its own
    assert (20 * (power_gains(objective) / unmuted).log10()).abs().max() < (2.0 if kind in ("most", "fade") else 1.0)
    best = min(find_baselines(objective, with_gains=True), key=lambda baseline: float(baseline.loss.total))
    assert best.gains is not None
    assert best.gains.min() > 0


@pytest.mark.parametrize("solve", [waveform_gains, power_gains])
def test_a_mix_that_only_hisses_asks_for_silent_tracks(tmp_path, solve):
    tracks = dry_tracks()
    song = write_song(tmp_path / "song", tracks, 3e-5 * torch.randn(2, tracks["1_drum.wav"].size(1)).clamp(-1, 1))
    gains = solve(Objective(load_song(song, RATE), Rack.console("g", RATE)))
    assert 0 <= gains.min() <= gains.max() < 0.02


def test_a_song_whose_mix_rests_with_its_tracks_has_no_mutes(tmp_path):
    tracks = {name: torch.nn.functional.pad(audio, (3 * RATE, RATE)) for name, audio in dry_tracks().items()}
    objective = an_objective(tmp_path / "song", tracks, amplitude(GAINS_DB))
    assert objective.mutes.muted is None
    assert torch.allclose(waveform_gains(objective), amplitude(GAINS_DB), rtol=1e-4)
    assert (20 * (power_gains(objective) / amplitude(GAINS_DB)).log10()).abs().max() < 3
