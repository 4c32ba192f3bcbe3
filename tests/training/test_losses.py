"""Losses on parameters and through the renderer: zero where the answer is right, gradients where it is not."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from graphmix.errors import GraphmixError
from graphmix.graph.consoles import mixing_console
from graphmix.graph.editing import remove_nodes
from graphmix.graph.mixgraph import MixGraph
from graphmix.models.mixing.basis import RawBasis
from graphmix.models.mixing.canonical import CanonicalSong
from graphmix.models.mixing.estimator import build_estimator
from graphmix.models.mixing.outputs import Outputs
from graphmix.models.mixing.stems import Stems
from graphmix.processors.rack import Rack
from graphmix.training.config import LossConfig
from graphmix.training.data import Batch, SongSegments, songs_in
from graphmix.training.losses import audio_loss, class_weights, parameter_terms, sparsity_term
from graphmix.training.matching import console_target
from graphmix.training.step import Heard, TrainingStep
from tests.small_song import RATE
from tests.training.tiny_songbook import CHAIN, DMC, GRAPH, LEVELS, WAVEUNET, WRITER, tiny_config

SUBGROUPS = {"band": ("a", "b", "c")}


@pytest.fixture
def rack() -> Rack:
    return Rack.console(CHAIN, RATE)


@pytest.fixture
def console(rack: Rack) -> MixGraph:
    return mixing_console(rack, SUBGROUPS, CHAIN)


@pytest.fixture
def true(console: MixGraph) -> MixGraph:
    graph = remove_nodes(console, console.nodes_of("equalizer")[:2])
    graph.params["gain"] = torch.linspace(-12, 6, 8).reshape(4, 2)
    graph.wet[graph.nodes_of("gain")] = 0.75
    return graph


def said(console: MixGraph, keep_logit: Tensor, wet_logit: Tensor, coefficients: dict[str, Tensor]) -> Outputs:
    return Outputs((console,), (("a", "b", "c"),), ((),), keep_logit, wet_logit, coefficients)


def right_answer(console: MixGraph, true: MixGraph, basis: RawBasis) -> Outputs:
    target = console_target(true, console)
    keep = torch.where(target.keep, 15.0, -15.0)
    wet = target.wet.clamp(1e-6, 1 - 1e-6).logit()
    return said(console, keep, wet, {name: basis.encode(name, target.params[name]) for name in basis.sizes})


def test_the_right_answer_costs_nothing(rack: Rack, console: MixGraph, true: MixGraph) -> None:
    basis = RawBasis(rack, 4)
    terms = parameter_terms(right_answer(console, true, basis), [console_target(true, console)], basis)
    assert set(terms) == {"keep", "wet", "coefficients"}
    for name, term in terms.items():
        assert float(term) == pytest.approx(0, abs=1e-5), name


def test_a_wrong_answer_costs_and_pulls_towards_the_right_one(rack: Rack, console: MixGraph, true: MixGraph) -> None:
    basis = RawBasis(rack, 4)
    nodes = console.num_nodes
    keep, wet = torch.zeros(nodes, requires_grad=True), torch.zeros(nodes, requires_grad=True)
    sizes = {name: console.params[name].size(0) for name in basis.sizes}
    coefficients = {name: torch.ones(sizes[name], k, requires_grad=True) for name, k in basis.sizes.items()}
    terms = parameter_terms(said(console, keep, wet, coefficients), [console_target(true, console)], basis)
    assert float(terms["keep"].detach()) == pytest.approx(0.6931, abs=1e-3)
    sum(terms.values(), torch.zeros(())).backward()
    target = console_target(true, console)
    assert keep.grad is not None
    assert (keep.grad[target.keep] < 0).all()
    assert (keep.grad[target.processors & ~target.keep] > 0).all()
    assert (keep.grad[~target.processors] == 0).all()
    assert wet.grad is not None
    assert (wet.grad[~target.keep] == 0).all()
    gains = coefficients["gain"].grad
    assert gains is not None
    assert gains.abs().sum() > 0


def test_two_songs_cost_what_they_cost_together(rack: Rack, console: MixGraph, true: MixGraph) -> None:
    basis = RawBasis(rack, 4)
    right = right_answer(console, true, basis)
    both = Outputs(
        (console, console),
        (*right.tracks, *right.tracks),
        ((), ()),
        torch.cat([right.keep_logit, -right.keep_logit]),
        right.wet_logit.repeat(2),
        {name: values.repeat(2, 1) for name, values in right.coefficients.items()},
    )
    target = console_target(true, console)
    wrong = parameter_terms(said(console, -right.keep_logit, right.wet_logit, right.coefficients), [target], basis)
    terms = parameter_terms(both, [target, target], basis)
    assert float(terms["keep"].detach()) == pytest.approx(float(wrong["keep"]) / 2, rel=1e-4)
    assert float(terms["coefficients"]) == pytest.approx(0, abs=1e-5)


def test_what_is_rare_weighs_more(rack: Rack, console: MixGraph) -> None:
    sparse = remove_nodes(console, console.nodes_of("equalizer"))
    weights = class_weights([(sparse, SUBGROUPS), (console, SUBGROUPS)], rack, CHAIN)
    equalizer, gain = (console.types.index(name) for name in ("equalizer", "gain"))
    assert weights[equalizer].tolist() == [1.0, 1.0]
    dropped, kept = weights[gain].tolist()
    assert dropped**2 * 1 == pytest.approx(kept**2 * 9)  # one is added to the counts 0 and 8


def test_sparsity_is_the_mean_probability_of_the_processors(console: MixGraph) -> None:
    logits = torch.full((console.num_nodes,), 3.0)
    logits[console.processors] = 0.0
    outputs = said(console, logits, logits, {})
    assert float(sparsity_term(outputs)) == pytest.approx(0.5)


# --- the step


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
        (WRITER, {"audio": 0.0, "sequence": 1.0}),
        (WAVEUNET, {"audio": 1.0}),
    ],
    ids=["dmc", "dmc-parameters", "graph", "reverse", "subgroups", "writer", "waveunet"],
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


def test_features_that_come_again_are_computed_once(
    songbook: Path, songs: SongSegments, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(songbook, GRAPH, loss={"audio": 0.0, "keep": 1.0})
    estimator = build_estimator(config.model)
    step = TrainingStep(estimator, config.loss).eval()
    batch = Batch(songs.fixed(0, 1))
    fresh = TrainingStep(estimator, config.loss, feature_bytes=0).eval().judge(batch)
    calls: list[int] = []
    real = type(estimator).features  # type: ignore[attr-defined]
    monkeypatch.setattr(type(estimator), "features", lambda self, stems: (calls.append(1), real(self, stems))[1])
    first, second = step.judge(batch), step.judge(batch)
    assert first == second == fresh
    assert calls == [1]


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
        (WRITER, {"keep": 1.0}, "keep"),
        (WAVEUNET, {"coefficients": 1.0}, "coefficients"),
        ({"name": "sum"}, {"wet": 1.0}, "wet"),
    ],
)
def test_a_term_that_a_model_has_nothing_to_say_to_is_refused(
    songbook: Path, model: dict[str, object], loss: dict[str, float], term: str
) -> None:
    config = tiny_config(songbook, model, loss=loss)
    with pytest.raises(GraphmixError, match=rf"nothing to say to the term loss\.{term} = 1"):
        TrainingStep(build_estimator(config.model), config.loss)


def test_the_audio_loss_skips_the_warm_up(songs: SongSegments) -> None:
    stems = songs.cut(0, 0).stems
    assert stems.mix is not None
    spoiled = stems.mix.clone()
    spoiled[:, :9000] = 0
    assert float(audio_loss(spoiled, stems, 9000, RATE)) == 0
    assert float(audio_loss(spoiled, stems, 0, RATE)) > 0


def test_a_loss_needs_a_term() -> None:
    with pytest.raises(ValueError, match="nothing to minimise"):
        LossConfig(audio=0.0)


def whole_songs_heard(
    songbook: Path, model: dict[str, object], starts: Sequence[int], monkeypatch: pytest.MonkeyPatch
) -> tuple[TrainingStep, SongSegments, list[CanonicalSong]]:
    """What a model that hears whole songs is told of segments of the second song, as long as a second."""
    step = TrainingStep(build_estimator(tiny_config(songbook, model).model), LossConfig())
    songs = SongSegments(songs_in([songbook]), RATE, segment_seconds=1.0, warmup_seconds=0.3)
    step.hear(songs)
    heard: list[CanonicalSong] = []
    embed = step.estimator.embed_canonical
    monkeypatch.setattr(step.estimator, "embed_canonical", lambda told: heard.extend(told) or embed(told))
    step.eval()
    for start in starts:
        assert float(step(Batch([songs.cut(1, start)]))["total"].detach()) > 0
    return step, songs, heard


@pytest.mark.parametrize("model", [DMC, LEVELS], ids=["vggish", "statistics"])
def test_a_model_that_hears_whole_songs_says_the_same_of_each_segment(
    songbook: Path, model: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    step, songs, heard = whole_songs_heard(songbook, model, (0, 9000), monkeypatch)
    whole = step.estimator.analyze(Stems.from_song(songs.song(1)))
    assert len(heard) == 2
    for told in heard:
        assert told.names == whole.names
        assert torch.equal(told.features, whole.features)


def test_of_a_long_song_a_model_hears_the_block_around_a_segment(
    songbook: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    halves = [(0, RATE), (RATE, RATE)]
    monkeypatch.setattr("graphmix.training.step.encoder_blocks", lambda num_samples, sample_rate: halves)
    starts = (-9000, RATE // 2 - 1, RATE // 2, RATE)
    step, songs, heard = whole_songs_heard(songbook, LEVELS, starts, monkeypatch)
    expected = [step.estimator.analyze(Stems.from_song(songs.song(1), *half)).features for half in halves]
    assert not torch.equal(*expected)
    for told, half in zip(heard, (0, 0, 1, 1), strict=True):
        assert torch.equal(told.features, expected[half])


def test_what_was_heard_before_is_not_computed_again(songbook: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    songs = SongSegments(songs_in([songbook]), RATE, segment_seconds=1.0, warmup_seconds=0.3)
    steps = [TrainingStep(build_estimator(tiny_config(songbook, LEVELS).model), LossConfig()) for _ in range(2)]
    known: Heard = {}
    steps[0].hear(songs, known=known)
    assert len(known) == len(songs)
    monkeypatch.setattr(steps[1].estimator, "hear", lambda stems: pytest.fail("computed again"))
    steps[1].hear(songs, known=known)
    other = TrainingStep(build_estimator(tiny_config(songbook, {**LEVELS, "mels": 20}).model), LossConfig())
    other.hear(songs, known=known)  # another hearing
    assert len(known) == 2 * len(songs)


def test_without_sound_a_step_needs_no_audio(songbook: Path) -> None:
    loss = LossConfig(audio=1.0, coefficients=1.0)
    step = TrainingStep(build_estimator(tiny_config(songbook, LEVELS).model), loss)
    songs = SongSegments(songs_in([songbook]), RATE, segment_seconds=1.0, warmup_seconds=0.3)
    step.prepare(songs, fit=True)
    assert step.needs_audio
    step.hear(songs)
    assert step.needs_audio
    step.heard = False
    assert not step.needs_audio
    audible = songs.cut(1, 0)
    songs.silent = True
    silent = songs.cut(1, 0)
    assert silent.stems is None
    step.eval()
    expected, found = (float(step(Batch([example]))["total"].detach()) for example in (audible, silent))
    assert found == expected > 0


def test_features_of_whole_songs_need_room(songbook: Path) -> None:
    step = TrainingStep(build_estimator(tiny_config(songbook, DMC).model), LossConfig(), feature_bytes=100)
    with pytest.raises(GraphmixError, match=r"the features of 1 of 4 songs take all .* set data.hear to"):
        step.hear(SongSegments(songs_in([songbook]), RATE, segment_seconds=1.0, warmup_seconds=0.3))
