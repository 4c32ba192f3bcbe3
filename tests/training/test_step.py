"""One step: every term that a model declares, gradients, silence."""

from pathlib import Path

import pytest

from graphmix.errors import GraphmixError
from graphmix.models.mixing.estimator import build_estimator
from graphmix.training.config import LossConfig
from graphmix.training.data import Batch, SongSegments, songs_in
from graphmix.training.step import TrainingStep
from tests.small_song import RATE
from tests.training.tiny_songbook import AUTOREGRESSIVE, DMC, GRAPH, LEVELS, WAVEUNET, tiny_config


@pytest.fixture
def songs(songbook: Path) -> SongSegments:
    return SongSegments(songs_in([songbook]), RATE, segment_seconds=1.0, warmup_seconds=0.3)


@pytest.mark.parametrize(
    ("model", "loss"),
    [
        (DMC, {"audio": 1.0}),
        (DMC, {"audio": 0.0, "wet": 1.0, "coefficients": 1.0}),
        (GRAPH, {"audio": 1.0, "keep": 1.0, "wet": 0.5, "coefficients": 0.5, "sparsity": 0.1}),
        ({**GRAPH, "reverse": True}, {"audio": 0.0, "keep": 1.0}),
        ({**GRAPH, "predict_subgroups": True}, {"audio": 0.0, "keep": 1.0, "subgroups": 1.0}),
        (AUTOREGRESSIVE, {"audio": 0.0, "sequence": 1.0}),
        (WAVEUNET, {"audio": 1.0}),
    ],
    ids=["dmc", "dmc-parameters", "graph", "reverse", "subgroups", "autoregressive", "waveunet"],
)
def test_a_step_gives_every_term_and_gradients(
    songbook: Path, songs: SongSegments, model: dict[str, object], loss: dict[str, float]
) -> None:
    config = tiny_config(songbook, model, loss=loss)
    step = TrainingStep(build_estimator(config.model), config.loss)
    step.prepare(songs, fit=True)
    step.train()
    terms = step(Batch([songs.cut(0, 0), songs.cut(1, 9000)]))
    assert set(terms) == {"total", *(name for name, weight in loss.items() if weight)}
    assert all(bool(term.isfinite()) for term in terms.values())
    terms["total"].backward()
    grads = [p.grad for p in step.estimator.parameters() if p.grad is not None]
    assert any(float(grad.abs().sum()) > 0 for grad in grads)
    step.eval()
    numbers = step.judge(Batch([songs.cut(0, 0)]))
    assert set(numbers) == {*terms, "proposal"} == set(step.judged)


def test_the_total_is_the_weighted_sum_of_the_terms(songbook: Path, songs: SongSegments) -> None:
    config = tiny_config(songbook, GRAPH, loss={"audio": 2.0, "keep": 0.5})
    step = TrainingStep(build_estimator(config.model), config.loss).eval()
    numbers = step.judge(Batch([songs.cut(0, 0)]))
    assert numbers["total"] == pytest.approx(2 * numbers["audio"] + 0.5 * numbers["keep"], rel=1e-5)


def test_silence_alone_gives_a_gradient_of_zero(songbook: Path, songs: SongSegments) -> None:
    config = tiny_config(songbook, DMC)
    step = TrainingStep(build_estimator(config.model), config.loss).train()
    example = songs.cut(0, songs.song(0).num_samples + RATE)
    assert not example.stems.active().any()
    step(Batch([example]))["total"].backward()


@pytest.mark.parametrize(
    ("model", "loss", "term"),
    [
        (DMC, {"keep": 1.0}, "keep"),
        (DMC, {"sequence": 1.0}, "sequence"),
        (GRAPH, {"subgroups": 1.0}, "subgroups"),
        (AUTOREGRESSIVE, {"keep": 1.0}, "keep"),
        (WAVEUNET, {"coefficients": 1.0}, "coefficients"),
        ({"name": "sum"}, {"wet": 1.0}, "wet"),
    ],
)
def test_a_term_that_a_model_cannot_be_trained_on_is_refused(
    songbook: Path, model: dict[str, object], loss: dict[str, float], term: str
) -> None:
    config = tiny_config(songbook, model, loss=loss)
    with pytest.raises(GraphmixError, match=rf"cannot be trained on the term loss\.{term} = 1"):
        TrainingStep(build_estimator(config.model), config.loss)


def test_without_sound_a_step_needs_no_audio(songbook: Path) -> None:
    loss = LossConfig(audio=1.0, coefficients=1.0)
    step = TrainingStep(build_estimator(tiny_config(songbook, LEVELS).model), loss)
    songs = SongSegments(songs_in([songbook]), RATE, segment_seconds=1.0, warmup_seconds=0.3)
    step.prepare(songs, fit=True)
    assert step.needs_audio
    step.encode_songs(songs)
    assert step.needs_audio
    step.with_audio = False
    assert not step.needs_audio
    audible = songs.cut(1, 0)
    songs.silent = True
    silent = songs.cut(1, 0)
    assert silent.stems is None
    step.eval()
    expected, found = (float(step(Batch([example]))["total"].detach()) for example in (audible, silent))
    assert found == expected > 0
