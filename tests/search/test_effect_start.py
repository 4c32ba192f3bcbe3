"""Where captured effects start: the tracks that have passed through them, by least squares."""

from pathlib import Path

import pytest
import torch

from graphmix.audio import load_song
from graphmix.audio.song import Song
from graphmix.graph.consoles import mixing_console
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.rack import Rack
from graphmix.render.renderer import Renderer
from graphmix.search.effect_start import find_effects
from graphmix.search.initialization import find_baselines, start_graph, with_start_values
from graphmix.search.objective import Objective
from tests.small_effects import write_amp, write_pedal
from tests.small_song import GAINS_DB, RATE, SUBGROUPS, TRACKS, dry_tracks, write_song


@pytest.fixture(scope="module")
def rack(tmp_path_factory: pytest.TempPathFactory) -> Rack:
    folder = tmp_path_factory.mktemp("gear")
    return Rack.console("eg", RATE).with_effect("a", write_amp(folder)).with_effect("p", write_pedal(folder))


def a_song(folder: Path, rack: Rack, wets: tuple[float, ...]) -> Song:
    """Tracks through the amp, and gains and panning."""
    tracks, graph = dry_tracks(), MixGraph(rack.types, RATE)
    out = graph.add("out")
    for track, wet in zip(TRACKS, wets, strict=True):
        nodes = [graph.add("amp", wet=wet), graph.add("gain", gain_db=GAINS_DB[track])]
        graph.chain(graph.add("in", name=track), *nodes, out)
    with torch.no_grad():
        mix = Renderer(rack)(graph, torch.stack(list(tracks.values())))[0]
    return load_song(write_song(folder / "song", tracks, mix), RATE)


def test_dry_wet_weights_and_gains_are_found_exactly(tmp_path: Path, rack: Rack):
    wets = (1.0, 0.0, 0.6)
    found = find_effects(Objective(a_song(tmp_path, rack, wets), rack))
    assert found is not None
    assert found.weights["amp"].tolist() == pytest.approx(wets, abs=1e-3)
    assert found.weights["pedal"].tolist() == [0.0, 0.0, 0.0]
    assert found.played.tolist() == [True, False, True]
    assert torch.allclose(20 * found.gains.log10(), torch.tensor(list(GAINS_DB.values())).double(), atol=0.05)


def test_nothing_is_found_where_nothing_is_or_the_rack_has_no_effect(tmp_path: Path, rack: Rack):
    song = a_song(tmp_path, rack, (0.0, 0.0, 0.0))
    assert find_effects(Objective(song, rack)) is None
    assert find_effects(Objective(song, Rack.console("eg", RATE))) is None


def test_effects_with_and_without_controls_start_almost_dry(rack: Rack):
    start = with_start_values(mixing_console(rack, SUBGROUPS, "apg"), rack, 0)
    for name in ("amp", "pedal"):
        assert start.wet[start.nodes_of(name)].tolist() == pytest.approx([0.01] * 5)


def test_a_search_starts_from_what_was_found(tmp_path: Path, rack: Rack):
    objective = Objective(a_song(tmp_path, rack, (1.0, 0.0, 0.6)), rack)
    baselines = find_baselines(objective, with_gains=True)
    start = start_graph(mixing_console(rack, SUBGROUPS, "aeg"), objective, baselines, 0)
    weights = start.wet[start.nodes_of("amp")].tolist()
    assert sorted(weights)[-2:] == pytest.approx([0.6, 1.0], abs=1e-3)
    loss = float(objective.evaluate(start).total)
    assert loss < 0.5 * min(float(baseline.loss.total) for baseline in baselines)
