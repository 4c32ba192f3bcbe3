"""The nearest training song, on songs that are plainly alike or not."""

import pytest
import torch

from graphmix.errors import GraphmixError
from graphmix.graph.mixgraph import MixGraph
from graphmix.models.mixing.nearest_song import NearestSong, NearestSongConfig
from graphmix.models.mixing.stems import Stems
from graphmix.processors import Rack
from tests.models.small_stems import RATE, gains_by_track, gains_graph, tone
from tests.small_song import same_graph


def song(frequencies: dict[str, float], amplitude: float = 0.2) -> Stems:
    audio = torch.stack([tone(frequency, amplitude) for frequency in frequencies.values()])
    return Stems(audio, tuple(frequencies), RATE, {"bus": tuple(frequencies)})


LOW = song({"bass": 60.0, "organ": 250.0}), gains_graph({"bass": [-3.0, -3.0], "organ": [-9.0, -9.0]})
HIGH = song({"bell": 3000.0, "hiss": 9000.0}), gains_graph({"bell": [-1.0, -1.0], "hiss": None})


@pytest.fixture
def model() -> NearestSong:
    made = NearestSong(NearestSongConfig(chain="eg", mels=32))
    made.fit_songs([LOW, HIGH])
    return made.eval()


def proposal(model: NearestSong, stems: Stems) -> MixGraph:
    graph = model(stems)
    assert isinstance(graph, MixGraph)
    return graph


def test_tracks_take_the_chains_of_the_most_alike(model: NearestSong) -> None:
    graph = proposal(model, song({"x": 240.0, "y": 65.0, "z": 70.0}))
    assert gains_by_track(graph) == {"x": [-9.0, -9.0], "y": [-3.0, -3.0], "z": [-3.0, -3.0]}


def test_a_track_without_processors_lends_none(model: NearestSong) -> None:
    graph = proposal(model, song({"x": 2900.0, "y": 8900.0}))
    assert gains_by_track(graph) == {"x": [-1.0, -1.0]}


def test_buses_are_copied_with_their_weights() -> None:
    graph = MixGraph(Rack.console("eg").types, RATE)
    inputs = [graph.add("in", name=name) for name in LOW[0].names]
    bus, fader = graph.add("mix", name="bus"), graph.add("gain", gain_db=-7.0, wet=0.25)
    for node in inputs:
        graph.connect(node, bus)
    graph.chain(bus, fader, graph.add("equalizer", gain_db=3.0), graph.add("out"))
    model = NearestSong(NearestSongConfig(chain="eg", mels=32))
    model.fit_songs([(LOW[0], graph)])
    found = proposal(model.eval(), song({"x": 100.0}))
    assert [found.type_of(node).name for node in found.processors.tolist()] == ["gain", "equalizer"]
    assert found.params["gain"].tolist() == [[-7.0, -7.0]]
    assert found.wet[found.nodes_of("gain")].tolist() == [0.25]
    assert bool((found.params["equalizer"] == 3.0).all())


def test_what_is_remembered_is_saved(model: NearestSong) -> None:
    other = NearestSong(NearestSongConfig(chain="eg", mels=32))
    other.load_state_dict(model.state_dict())
    stems = song({"x": 240.0, "y": 65.0})
    assert same_graph(proposal(model, stems), proposal(other.eval(), stems))
    fresh = NearestSong(NearestSongConfig(chain="eg", mels=16))
    with pytest.raises(RuntimeError, match="size mismatch"):
        fresh.load_state_dict(model.state_dict())


def test_learning_again_forgets(model: NearestSong) -> None:
    assert gains_by_track(proposal(model, song({"x": 60.0})))["x"] == [-3.0, -3.0]
    model.fit_songs([HIGH])
    assert model.song_vectors.size(0) == 1
    assert gains_by_track(proposal(model, song({"x": 2900.0}))) == {"x": [-1.0, -1.0]}


def test_silent_tracks_and_songs_are_not_remembered() -> None:
    model = NearestSong(NearestSongConfig(chain="eg", mels=32))
    silent = Stems(torch.zeros(2, 2, RATE), ("bass", "organ"), RATE)
    half = Stems(torch.stack([tone(60), torch.zeros(2, RATE)]), ("bass", "organ"), RATE)
    model.fit_songs([(silent, LOW[1]), (half, LOW[1])])
    assert model.song_vectors.shape == (1, 64)
    assert model.params_gain.tolist() == [[-3.0, -3.0]]


def test_one_without_songs_raises_an_error() -> None:
    with pytest.raises(GraphmixError, match="has no songs yet"):
        NearestSong(NearestSongConfig())(LOW[0])
