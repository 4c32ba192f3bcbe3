"""A song of more segments than are evaluated: what is known of the whole in the end."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from graphmix.audio import load_song
from graphmix.errors import SearchError
from graphmix.memory import Memory
from graphmix.processors.rack import Rack
from graphmix.search import Judge, Mined, Objective, fit, mine, prune
from graphmix.search.levels import nodes_after_inputs
from graphmix.search.mine_song import console_for, console_rack
from graphmix.search.objective import mean_terms, num_bytes
from graphmix.search.settings import DRAFT, PAPER
from tests.small_song import CONSOLE_ALONE, RATE, SETTINGS, TRACKS, dry_tracks, hidden_graph, mixed, write_song

SAMPLED = replace(SETTINGS, chain="g", rounds=1, tolerance=0.05, evaluated_segments=4, trial_segments=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven segments, the last of them short; a track pauses, and the song gets softer."""
    tracks = {name: audio.repeat(1, 6)[:, : round(17.5 * RATE)] for name, audio in dry_tracks().items()}
    fade = torch.linspace(1, 0.1, round(17.5 * RATE))
    tracks = {name: audio * fade for name, audio in tracks.items()}
    tracks["3_voice.wav"][:, : 9 * RATE] = 0
    return write_song(tmp_path_factory.mktemp("songs") / "long", tracks, mixed(hidden_graph(), tracks))


@pytest.fixture(scope="module")
def mined(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Mined:
    return mine(folder, tmp_path_factory.mktemp("mined") / "out", SAMPLED, device="cpu", plots=False, **CONSOLE_ALONE)


def test_the_presets_sample_songs_or_not() -> None:
    assert DRAFT.evaluated_segments == 16
    assert PAPER.evaluated_segments == 0
    assert "evaluated_segments" not in PAPER.to_dict()


def test_the_loss_in_the_end_is_that_of_the_whole_song(folder: Path, mined: Mined) -> None:
    objective = Objective(load_song(folder, RATE), console_rack(SAMPLED))
    assert len(objective.segments) == 7
    assert mined.metrics["audio_loss"] == pytest.approx(float(objective.evaluate(mined.graph).total), abs=2e-6)
    assert mined.metrics["audio_loss"] < min(mined.metrics["baselines"].values())


def test_what_was_sampled_is_said_with_its_confidence(mined: Mined) -> None:
    sampled = mined.metrics["sampled"]
    assert (sampled["segments"], sampled["of"]) == (4, 7)
    assert 0 < sampled["console_loss_within"] < mined.metrics["baselines"]["plain sum"]
    assert sampled["audio_loss_of_segments"] == pytest.approx(mined.metrics["audio_loss"], rel=0.5)


def test_a_sampled_loss_is_near_that_of_the_whole(folder: Path) -> None:
    """Of another graph than those of the search: the plain sum."""
    song = load_song(folder, RATE)
    objective = Objective(song, Rack.console("g", RATE), evaluated=4)
    console = console_for(song, objective.rack, replace(SAMPLED, chain="g"))
    every = objective.evaluate_each([console], objective.segments)[0]
    assert float(objective.evaluate(console).total) == pytest.approx(float(every[:, 0].mean()), rel=0.3)
    assert objective.evaluate_whole(console).to_list() == mean_terms(every, objective.segments).to_list()
    assert sum(s.weight for s in objective.evaluated) == song.num_samples


def test_fit_and_prune_give_the_loss_of_the_whole_song_too(folder: Path) -> None:
    song, rack = load_song(folder, RATE), Rack.console("g", RATE)
    whole, settings = Objective(song, rack), replace(SAMPLED, steps=1)
    fitted = fit(console_for(song, rack, settings), song, rack, settings)
    assert fitted.loss.to_list() == whole.evaluate(fitted.graph).to_list()
    pruned = prune(fitted.graph, song, rack, settings)
    assert pruned.loss.to_list() == whole.evaluate(pruned.graph).to_list()
    trial = next(record for record in pruned.trace if record["event"] == "trial")
    assert trial["segments"][1] == 2


def test_a_short_song_is_evaluated_as_a_whole(folder: Path) -> None:
    song, rack = load_song(folder, RATE), Rack.console("g", RATE)
    for count in (0, 7, 16):
        objective = Objective(song, rack, evaluated=count)
        assert objective.evaluated is objective.segments
        assert not objective.is_sampled


def test_targets_are_kept_as_far_as_the_budget_goes(folder: Path) -> None:
    song, rack = load_song(folder, RATE), Rack.console("g", RATE)
    size = num_bytes(Objective(song, rack).target(Objective(song, rack).segments[0]))
    objective = Objective(song, rack, memory=Memory(16 * (3 * size + 1)))
    console = console_for(song, rack, SAMPLED)
    loss = objective.evaluate(console)
    assert len(objective._targets) == 3
    assert loss.to_list() == Objective(song, rack).evaluate(console).to_list()


def test_a_negative_number_of_segments_is_refused() -> None:
    with pytest.raises(SearchError, match="evaluated_segments is -1"):
        replace(SAMPLED, evaluated_segments=-1)


def test_a_race_begins_where_the_tracks_of_the_candidates_are_exposed(folder: Path) -> None:
    """The voice sounds in the second half only: a trial that takes its gain away is hopeless in the first segment."""
    objective = Objective(load_song(folder, RATE), Rack.console("eg", RATE), evaluated=4)
    graph = hidden_graph()
    gain = next(node for track, node, _ in nodes_after_inputs(graph, "gain", tuple(TRACKS)) if track == 2)
    judge = Judge(objective, graph, objective.evaluated)
    verdict = judge.judge([gain], limit=judge.loss() + 1e-3)
    assert (verdict.segments, verdict.of) == (1, 4)
    assert judge.judge([gain]).segments == 4
