"""Laws of all that a search may minimise, and of sums of losses."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from graphmix.audio import Song
from graphmix.cli.app import ObjectiveName
from graphmix.errors import SearchError
from graphmix.graph.consoles import mixing_console
from graphmix.processors.rack import Rack
from graphmix.render.blocks import render_song
from graphmix.search import (
    OBJECTIVES,
    PAPER,
    DynamicsLoss,
    Judge,
    LoudnessLoss,
    MixLoss,
    Objective,
    SearchSettings,
    WeightedLoss,
)
from graphmix.search.losses import gated_level
from graphmix.search.objectives import AudioLoss, SongDistance
from tests.small_song import RATE

SAMPLES = 24_000
LOSSES = {**OBJECTIVES, "dynamics alone": DynamicsLoss, "loudness alone": LoudnessLoss}


@pytest.fixture(params=LOSSES, scope="module")
def loss(request: pytest.FixtureRequest) -> AudioLoss:
    return LOSSES[request.param](RATE)


def sound(batch: int = 1, level: float = 0.1) -> Tensor:
    """Noise that swells, wide on one side."""
    swell = 1 + 0.8 * torch.sin(torch.arange(SAMPLES) * 0.002)
    return level * swell * torch.randn(batch, 2, SAMPLES) * torch.tensor([1.0, 0.6])[:, None]


def test_a_mix_and_itself_differ_by_nothing_and_nothing_pulls(loss: AudioLoss) -> None:
    mix = sound()
    prediction = mix.clone().requires_grad_()
    terms = loss(prediction=prediction, target=mix)
    assert terms.to_list() == [0, 0, 0, 0]
    terms.total.backward()
    assert prediction.grad is not None
    assert prediction.grad.abs().max() == 0


def test_the_loss_of_a_batch_is_the_mean_of_its_items(loss: AudioLoss) -> None:
    predictions, targets = sound(3), torch.cat([sound(), sound(level=0.01), 0 * sound()])
    together = loss(prediction=predictions, target=targets)
    items = loss.per_item(prediction=predictions, target=targets)
    for item in range(3):
        alone = loss(prediction=predictions[item], target=targets[item])
        torch.testing.assert_close(torch.stack(items)[:, item], torch.stack(alone), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(torch.stack(items).mean(1), torch.stack(together))


def test_features_may_stand_for_the_target_and_meet_several_predictions(loss: AudioLoss) -> None:
    target, predictions = sound(), sound(2)
    features = loss.features(target)
    found = loss.per_item(prediction=predictions, target=features).total
    for row in range(2):
        expected = loss(prediction=predictions[row : row + 1], target=target).total
        torch.testing.assert_close(found[row], expected)


@pytest.mark.parametrize(("target_level", "level"), [(0.0, 0.0), (0.1, 0.0), (0.0, 0.1), (1.0, 30.0)])
def test_silence_and_extreme_levels_are_finite(loss: AudioLoss, target_level: float, level: float) -> None:
    prediction = sound(level=level).requires_grad_()
    total = loss(prediction=prediction, target=sound(level=target_level)).total
    total.backward()
    assert total.isfinite()
    assert prediction.grad is not None
    assert prediction.grad.isfinite().all()


def test_what_leaks_into_a_silent_segment_costs_as_much_as_the_song_is_loud(loss: AudioLoss) -> None:
    target, silence = sound(), torch.zeros(1, 2, SAMPLES)
    levels = torch.cat([loss.levels(loss.features(segment)) for segment in (target, silence)])
    assert levels.shape == (2, loss.num_levels, 3)
    level = gated_level(levels, torch.ones(2))
    leak, half = (loss(prediction=g * target, target=silence, song_level=level).total for g in (1.0, 0.5))
    assert 0 < half < leak < 5
    assert loss(prediction=silence, target=silence, song_level=level).total == 0
    both = loss.with_song_level(loss.features(silence), level)
    assert loss(prediction=target, target=both).total == leak


def test_items_of_a_batch_may_come_from_songs_of_different_levels(loss: AudioLoss) -> None:
    targets, predictions = torch.cat([sound(level=0.02), sound(level=1e-5)]), sound(2)
    songs = [loss.levels(loss.features(sound(level=level)))[0] for level in (0.1, 0.4)]
    together = loss.per_item(prediction=predictions, target=targets, song_level=torch.stack(songs)).total
    for item, song in enumerate(songs):
        one = slice(item, item + 1)
        alone = loss(prediction=predictions[one], target=targets[one], song_level=song).total
        torch.testing.assert_close(together[item], alone)


def test_audio_that_cannot_be_compared_is_refused(loss: AudioLoss) -> None:
    mix = sound()
    with pytest.raises(SearchError, match=r"compares stereo, shape \[..., 2, samples\], and this has \[1, 24000\]"):
        loss(prediction=mix[:, 0], target=mix)
    with pytest.raises(SearchError, match="1 items of 23999 samples, the target 1 of 24000: cut both"):
        loss(prediction=mix[..., 1:], target=mix)
    with pytest.raises(SearchError, match=r"torch.float64 on cpu, the loss torch.float32 on cpu: move one"):
        loss(prediction=mix.double(), target=mix)
    with pytest.raises(TypeError):
        loss(mix, mix)  # type: ignore[call-arg, misc]


@pytest.mark.parametrize("make", [DynamicsLoss, LoudnessLoss])
def test_gradients_are_those_of_finite_differences(make: type[DynamicsLoss] | type[LoudnessLoss]) -> None:
    small = make(8000).double()
    target, prediction = 0.1 * torch.randn(2, 1, 2, 1400, dtype=torch.float64)
    features = small.features(target)
    prediction[..., 300:900] *= 0.01
    prediction.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: small(prediction=x, target=features), prediction, eps=1e-7, atol=1e-5, fast_mode=True
    )


# --- sums


def test_a_weighted_loss_is_the_sum_of_its_parts_each_with_its_own_level() -> None:
    parts = {"paper": MixLoss(RATE), "dynamics": DynamicsLoss(RATE), "loudness": LoudnessLoss(RATE)}
    loss = WeightedLoss({name: (weight, parts[name]) for name, weight in zip(parts, (1.0, 2.0, 0.5), strict=True)})
    prediction, target, song = sound(2), sound(2, level=0.001), sound()
    expected = torch.zeros(4)
    for weight, part in zip((1.0, 2.0, 0.5), parts.values(), strict=True):
        level = part.levels(part.features(song))[0]
        expected += weight * torch.stack(part(prediction=prediction, target=target, song_level=level))
    level = loss.levels(loss.features(song))[0]
    found = loss(prediction=prediction, target=target, song_level=level)
    torch.testing.assert_close(torch.stack(found), expected)
    with pytest.raises(SearchError, match="no parts: give one or more"):
        WeightedLoss({})


def test_terms_weigh_as_in_the_paper(loss: AudioLoss) -> None:
    total, left_right, mid, side = loss(prediction=sound(), target=sound()).to_list()
    assert total == pytest.approx(left_right / 2 + mid / 4 + side / 4, rel=1e-5)


# --- in a search


def test_the_papers_objective_is_its_loss_and_nothing_is_written_of_it() -> None:
    assert SearchSettings() == PAPER
    assert type(PAPER.new_loss()) is MixLoss
    assert "objective" not in PAPER.to_dict()
    assert replace(PAPER, objective="loudness").to_dict()["objective"] == "loudness"


def test_the_command_line_knows_every_objective() -> None:
    assert [name.value for name in ObjectiveName] == list(OBJECTIVES)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_distance_of_a_song_is_that_of_its_graph(song: Song, name: str) -> None:
    objective = Objective(song, Rack.console("g", song.sample_rate), loss=OBJECTIVES[name](RATE))
    graph = mixing_console(objective.rack, {"sum": song.track_names}, "")
    mix = render_song(graph, song, objective.rack)
    scored = objective.length - objective.warmup
    distance = SongDistance(OBJECTIVES[name](RATE), song.read_mix(0, song.num_samples), scored)
    expected, found = objective.evaluate(graph), distance(mix)
    torch.testing.assert_close(torch.stack(found), torch.stack(expected), rtol=1e-4, atol=1e-6)
    paper = objective.of_the_paper()
    assert (paper is objective) == (name == "paper")
    assert paper.evaluate(graph) == Objective(song, objective.rack).evaluate(graph)
    parts = objective.parts(graph)
    assert set(parts) == (set() if name == "paper" else {"paper", name})


def test_trials_judge_by_the_objective(song: Song) -> None:
    objective = Objective(song, Rack.console("g", song.sample_rate), loss=OBJECTIVES["loudness"](RATE))
    console = mixing_console(objective.rack, song.subgroups, "g")
    console.params["gain"] -= 3
    judge = Judge(objective, console, objective.segments)
    gain = int(console.nodes_of("gain")[0])
    assert judge.loss() == pytest.approx(float(objective.evaluate(console).total), rel=1e-5)
    without = judge.judge([gain]).loss
    assert float(judge.leave_one_out([gain])[0]) == pytest.approx(without - judge.loss(), abs=1e-5)
