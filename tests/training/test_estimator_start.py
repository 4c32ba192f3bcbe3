"""A search that starts from the settings of a model."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from graphmix.audio import Song, load_song
from graphmix.audio.segments import encoder_blocks
from graphmix.errors import GraphmixError, SearchError
from graphmix.graph.consoles import mixing_console
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.validation import validate
from graphmix.models.config import model_config
from graphmix.models.mixing.canonical import EmbeddedSong
from graphmix.models.mixing.estimator import Estimator, build_estimator
from graphmix.processors.rack import Rack
from graphmix.search import Mined, Objective, find_baselines
from graphmix.search.parametrization import MIN_WEIGHT
from graphmix.training.checkpoint import save_estimator
from graphmix.training.estimator_start import EstimatorStart, parse_start, soft_console
from tests.small_song import RATE, SETTINGS, TRACKS, same_graph, write_small_song, write_song, write_tiny_song
from tests.small_song import mine_without_plots as mine
from tests.training.tiny_songbook import CHAIN, DMC, GRAPH, true_graph

REVERSE: dict[str, Any] = {**GRAPH, "reverse": True}
STATISTICS: dict[str, Any] = {"encoder": {"kind": "statistics", "width": 1, "embedding": 8}}


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Song:
    return load_song(write_small_song(tmp_path_factory.mktemp("start") / "song"), RATE)


@pytest.fixture
def rack() -> Rack:
    return Rack.console(CHAIN, RATE)


@pytest.fixture
def console(song: Song, rack: Rack) -> MixGraph:
    return mixing_console(rack, song.subgroups, CHAIN)


def test_the_start_is_the_console_with_the_models_settings(song: Song, rack: Rack, console: MixGraph) -> None:
    estimator = build_estimator(model_config(REVERSE))
    start = EstimatorStart(estimator)(console, song, rack)
    validate(start)
    for name in ("node_type", "edge_index", "edge_port"):
        assert torch.equal(start[name], console[name])
    assert start.names == console.names
    with torch.no_grad():  # attention takes another way then
        proposal, _ = soft_console(estimator, song)
    for track in song.track_names:
        first = [first_after(graph, graph.names.index(track)) for graph in (start, proposal)]
        assert torch.equal(start.parameter(first[0], "gain_db"), proposal.parameter(first[1], "gain_db"))
        assert start.wet[first[0]] == max(float(proposal.wet[first[1]]), MIN_WEIGHT)


def test_a_start_with_responses_is_closer_to_the_mix_than_the_plain_sum(
    song: Song, rack: Rack, console: MixGraph
) -> None:
    responses = build_estimator(model_config({**REVERSE, **STATISTICS, "responses": True}))
    start = validate(EstimatorStart(responses)(console, song, rack))
    objective = Objective(song, rack)
    plain = find_baselines(objective, with_gains=False)[0]
    assert float(objective.evaluate(start).total) < 0.5 * float(plain.loss.total)
    assert (start.wet[start.processors] >= MIN_WEIGHT).all()


def test_levels_of_a_long_song_are_those_of_the_parts_in_which_its_tracks_sound(tmp_path: Path) -> None:
    """A track that rests for a whole block of 30 s, and a mix that is muted while the tracks go on."""
    samples = 66 * RATE
    generator = torch.Generator().manual_seed(3)
    beat, voice = (0.1 * torch.randn(2, samples, generator=generator) for _ in range(2))
    voice[:, : samples // 2] = 0
    mix = 0.5 * beat + 0.25 * voice
    mix[:, -10 * RATE :] = 0
    song = load_song(write_song(tmp_path / "long", {"2_bass.wav": beat, "3_voice.wav": voice}, mix), RATE)
    assert len(encoder_blocks(song.num_samples, RATE)) == 2
    rack = Rack.console("g", RATE)
    model = build_estimator(model_config({**REVERSE, **STATISTICS, "responses": True, "chain": "g"}))
    start = EstimatorStart(model)(mixing_console(rack, song.subgroups, "g"), song, rack)
    found = {start.names[node]: start.parameter(first_after(start, node), "gain_db") for node in start.nodes_of("in")}
    assert torch.allclose(found["2_bass.wav"], torch.tensor(-6.0), atol=0.5)
    assert torch.allclose(found["3_voice.wav"], torch.tensor(-12.0), atol=0.5)


def first_after(graph: MixGraph, node: int) -> int:
    return int(graph.edge_index[1][graph.edge_index[0] == node][0])


def test_every_processor_can_be_trained(song: Song, rack: Rack, console: MixGraph) -> None:
    start = EstimatorStart(build_estimator(model_config(REVERSE)))(console, song, rack)
    wet = start.wet[start.processors]
    assert (wet >= MIN_WEIGHT).all()
    assert (wet <= 1).all()


def test_what_the_model_does_not_have_takes_its_start_value(song: Song) -> None:
    rack = Rack.console("egr", RATE)
    console = mixing_console(rack, song.subgroups, "egr")
    start = EstimatorStart(build_estimator(model_config(REVERSE)))(console, song, rack)
    reverbs = start.nodes_of("reverb")
    assert (start.wet[reverbs] == max(rack["reverb"].start_wet, MIN_WEIGHT)).all()


def test_a_graph_that_is_no_console_is_taken_over_as_far_as_it_fits(song: Song, rack: Rack, console: MixGraph) -> None:
    class KnowsTheGraph(Estimator):
        def graphs_of(self, songs: Sequence[EmbeddedSong], *, soft: bool) -> list[MixGraph]:
            return [true_graph(0)]

    model = KnowsTheGraph(model_config({"name": "sum"}))
    model.rack = rack
    start = EstimatorStart(model)(console, song, rack)
    gains = start.params["gain"].tolist()
    assert gains.count([-3.0, -6.0]) == len(TRACKS)
    assert gains.count([0.0, 0.0]) == len(song.subgroups) == len(gains) - len(TRACKS)  # the true graph has none there


def test_a_start_without_a_common_processor_is_refused(song: Song) -> None:
    rack = Rack.console("r", RATE)
    console = mixing_console(rack, song.subgroups, "r")
    with pytest.raises(SearchError, match="sets none of the processors"):
        EstimatorStart(build_estimator(model_config(REVERSE)))(console, song, rack)


def test_a_model_of_another_rate_is_refused(song: Song, rack: Rack, console: MixGraph) -> None:
    estimator = build_estimator(model_config({**REVERSE, "sample_rate": 24000}))
    with pytest.raises(SearchError, match="--sample-rate 24000"):
        EstimatorStart(estimator)(console, song, rack)


# --- the option


def test_the_option_names_the_usual_start_or_a_model(tmp_path: Path) -> None:
    assert parse_start("levels") is None
    save_estimator(build_estimator(model_config(REVERSE)), tmp_path / "mine")
    start = parse_start(f"estimator:{tmp_path / 'mine'}")
    assert start is not None
    assert start.name == f"estimator:{tmp_path / 'mine'}"


@pytest.mark.parametrize(("text", "message"), [("nearest", "there is no start 'nearest'"), ("estimator:x", "no model")])
def test_another_start_is_refused(text: str, message: str) -> None:
    with pytest.raises(GraphmixError, match=message):
        parse_start(text)


# --- mining


class Counts(EstimatorStart):
    """Remembers how often it was asked."""

    asked = 0

    def __call__(self, *args: Any) -> MixGraph:
        self.asked += 1
        return super().__call__(*args)


class CtrlC:
    """A listener that presses Ctrl-C at the first step."""

    def phase(self, name: str, total: int | None, done: int = 0) -> None: ...

    def progress(self, done: int, total: int | None = None, **numbers: float) -> None:
        if done == 1:
            raise KeyboardInterrupt


BRIEF = replace(SETTINGS, steps=2, rounds=1, round_steps=1)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Song:
    return load_song(write_tiny_song(tmp_path_factory.mktemp("tiny") / "song"), RATE)


@pytest.fixture(scope="module")
def start() -> Counts:
    torch.manual_seed(0)
    return Counts(build_estimator(model_config(REVERSE)))


@pytest.fixture(scope="module")
def mined(tiny: Song, start: Counts, tmp_path_factory: pytest.TempPathFactory) -> Mined:
    return mine(tiny, tmp_path_factory.mktemp("mined") / "out", BRIEF, device="cpu", start=start)


def test_mining_begins_with_the_models_settings_and_records_the_start(tiny: Song, start: Counts, mined: Mined) -> None:
    assert start.asked == 1
    assert mined.metrics["start"] == "estimator:graph"
    assert list(mined.metrics["baselines"]) == ["plain sum"]
    assert mined.metrics["audio_loss"] <= mined.metrics["baselines"]["plain sum"]
    assert json.loads((mined.folder / "run.json").read_text())["start"] == "estimator:graph"
    assert mine(tiny, mined.folder, BRIEF, device="cpu", start=start).already_done
    assert start.asked == 1


def test_a_folder_with_another_start_is_refused(tiny: Song, mined: Mined) -> None:
    with pytest.raises(SearchError, match="mined with start = estimator:graph, not levels"):
        mine(tiny, mined.folder, BRIEF, device="cpu")


def test_a_search_that_was_interrupted_does_not_ask_again(
    tiny: Song, start: Counts, mined: Mined, tmp_path: Path
) -> None:
    before = start.asked
    with pytest.raises(KeyboardInterrupt):
        mine(tiny, tmp_path / "out", BRIEF, device="cpu", start=start, listener=CtrlC())
    again = mine(tiny, tmp_path / "out", BRIEF, device="cpu", start=start)
    assert start.asked == before + 1
    assert same_graph(again.graph, mined.graph)


def test_a_start_of_no_use_is_refused_before_anything_is_written(tiny: Song, tmp_path: Path) -> None:
    of_reverbs = EstimatorStart(build_estimator(model_config({**DMC, "chain": "r"})))
    with pytest.raises(SearchError, match="sets none of the processors"):
        mine(tiny, tmp_path / "out", BRIEF, device="cpu", start=of_reverbs)
    assert not (tmp_path / "out").exists()
