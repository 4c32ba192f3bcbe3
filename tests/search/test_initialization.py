"""Where a search starts: like the levelled sum, and with thresholds fitted to the levels that reach the nodes."""

import pytest
import torch

from graphmix.audio import Song, load_song
from graphmix.graph.consoles import CONSOLE_CHAIN, mixing_console
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.validation import validate
from graphmix.processors.rack import Rack
from graphmix.search import Objective, find_baselines, start_graph
from graphmix.search.initialization import Baseline
from tests.small_song import RATE, SETTINGS, dry_tracks, mixed, write_song


@pytest.fixture(scope="module")
def full(song: Song) -> Objective:
    return Objective(song, Rack.console(CONSOLE_CHAIN, RATE))


@pytest.fixture(scope="module")
def baselines(full: Objective) -> list[Baseline]:
    return find_baselines(full, with_gains=True)


def a_console(objective: Objective, chain: str) -> MixGraph:
    return mixing_console(objective.rack, objective.song.subgroups, chain)


def best(baselines: list[Baseline]) -> float:
    return min(float(baseline.loss.total) for baseline in baselines)


def test_baselines_begin_with_the_plain_sum(baselines, full, song):
    assert [baseline.name for baseline in baselines] == ["plain sum", "levels by waveform", "levels by power"]
    assert baselines[0].graph.processors.numel() == 0
    assert all(float(full.evaluate(validate(a.graph)).total) == float(a.loss.total) for a in baselines)
    assert [a.name for a in find_baselines(full, with_gains=False)] == ["plain sum"]


def test_levels_beat_the_plain_sum(baselines):
    assert best(baselines) < float(baselines[0].loss.total)


@pytest.mark.parametrize("chain", ["g", "dgr", "cng", "rdgsnc"])
def test_the_untrained_console_sounds_like_the_levelled_sum(full, baselines, chain):
    graph = validate(start_graph(a_console(full, chain), full, baselines, seed=0))
    assert abs(float(full.evaluate(graph).total) - best(baselines)) < 0.05


@pytest.mark.parametrize("chain", [CONSOLE_CHAIN, "eg", "rdgsnce"])
def test_with_equalizers_it_is_nearer_to_the_mix(full, baselines, chain):
    graph = validate(start_graph(a_console(full, chain), full, baselines, seed=0))
    assert float(full.evaluate(graph).total) < 0.5 * best(baselines)


@pytest.mark.parametrize("chain", ["dr", "cn", "s"])
def test_without_gains_it_sounds_like_the_plain_sum(full, baselines, chain):
    graph = start_graph(a_console(full, chain), full, baselines[:1], seed=0)
    assert abs(float(full.evaluate(graph).total) - float(baselines[0].loss.total)) < 0.05


def test_thresholds_lie_within_what_each_node_hears(full, song):
    """On a console of neutral processors every chain receives its track, every bus the sum of its tracks."""
    sum_only = find_baselines(full, with_gains=False)
    graph = start_graph(a_console(full, "cn"), full, sum_only, seed=0)
    audio = dict(zip(song.track_names, song.read(0, song.num_samples).stems, strict=True))
    for bus, tracks in song.subgroups.items():
        audio[bus] = sum(audio[track] for track in tracks)
    for name, audio_in in audio.items():
        mid = audio_in.mean(0)
        power = mid[: mid.numel() // 600 * 600].view(-1, 600).square().mean(1)
        levels = 10 * (power + 1e-12).log10()
        audible = levels[levels > -70]
        node = graph.names.index(name)
        for quantile in (0.6, 0.2):  # compressor, gate
            node = int(graph.edge_index[1, graph.edge_index[0] == node][0])
            threshold = float(graph.parameter(node, "threshold_db"))
            assert float(audible.min()) < threshold < float(audible.max())
            assert threshold == pytest.approx(float(audible.quantile(quantile)), abs=1.0)


def test_what_hears_only_silence_keeps_its_threshold(tmp_path):
    tracks = dry_tracks()
    tracks["2_bass.wav"] = torch.zeros_like(tracks["2_bass.wav"])
    mix = sum(tracks.values())
    song = load_song(write_song(tmp_path / "song", tracks, mix), RATE)
    objective = Objective(song, Rack.console("c", RATE))
    graph = start_graph(a_console(objective, "c"), objective, find_baselines(objective, with_gains=False), 0)
    node = graph.names.index("2_bass.wav")
    compressor = int(graph.edge_index[1, graph.edge_index[0] == node][0])
    neutral = mixing_console(objective.rack, song.subgroups, "c").parameter(compressor, "threshold_db")
    assert torch.equal(graph.parameter(compressor, "threshold_db"), neutral)


def test_effects_start_almost_dry_and_the_rest_wet(full, baselines):
    graph = start_graph(a_console(full, CONSOLE_CHAIN), full, baselines, seed=0)
    for processor in full.rack:
        wet = graph.wet[graph.nodes_of(processor.node_type.name)]
        assert torch.allclose(wet, torch.full_like(wet, processor.start_wet))
        if processor.node_type.name in ("delay", "reverb"):
            assert wet.max() < 0.01


def test_the_same_seed_starts_in_the_same_place_and_another_elsewhere(full, baselines):
    console = a_console(full, CONSOLE_CHAIN)
    before = console.clone()
    one, same, other = (start_graph(console, full, baselines, seed) for seed in (1, 1, 2))
    assert all(torch.equal(one.params[name], same.params[name]) for name in one.params)
    assert not torch.equal(one.params["delay"], other.params["delay"])
    assert all(torch.equal(console.params[name], before.params[name]) for name in before.params)


def test_a_mix_that_is_the_plain_sum_starts_at_the_plain_sum(tmp_path):
    tracks = dry_tracks()
    rack = Rack.console(SETTINGS.chain, RATE)
    empty = mixing_console(rack, {"bus": list(tracks)}, "")
    song = load_song(write_song(tmp_path / "song", tracks, mixed(empty, tracks)), RATE)
    objective = Objective(song, rack)
    baselines = find_baselines(objective, with_gains=True)
    graph = start_graph(a_console(objective, SETTINGS.chain), objective, baselines, 0)
    assert best(baselines) < 1e-4
    assert float(objective.evaluate(graph).total) < 1e-3
