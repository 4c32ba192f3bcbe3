"""Losses on parameters and through the renderer: zero where the answer is right, gradients where it is not."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from graphmix.graph.consoles import mixing_console
from graphmix.graph.editing import remove_nodes
from graphmix.graph.mixgraph import MixGraph
from graphmix.models.mixing.basis import RawBasis
from graphmix.models.mixing.outputs import Outputs
from graphmix.processors.rack import Rack
from graphmix.training.config import LossConfig
from graphmix.training.data import SongSegments, songs_in
from graphmix.training.losses import audio_loss, class_weights, parameter_terms, sparsity_term
from graphmix.training.matching import console_target
from tests.small_song import RATE
from tests.training.tiny_songbook import CHAIN

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


def outputs_for(console: MixGraph, keep_logit: Tensor, wet_logit: Tensor, coefficients: dict[str, Tensor]) -> Outputs:
    return Outputs((console,), (("a", "b", "c"),), ((),), keep_logit, wet_logit, coefficients)


def right_answer(console: MixGraph, true: MixGraph, basis: RawBasis) -> Outputs:
    target = console_target(true, console)
    keep = torch.where(target.keep, 15.0, -15.0)
    wet = target.wet.clamp(1e-6, 1 - 1e-6).logit()
    return outputs_for(console, keep, wet, {name: basis.encode(name, target.params[name]) for name in basis.sizes})


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
    terms = parameter_terms(outputs_for(console, keep, wet, coefficients), [console_target(true, console)], basis)
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
    wrong = parameter_terms(
        outputs_for(console, -right.keep_logit, right.wet_logit, right.coefficients), [target], basis
    )
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
    outputs = outputs_for(console, logits, logits, {})
    assert float(sparsity_term(outputs)) == pytest.approx(0.5)


@pytest.fixture
def songs(songbook: Path) -> SongSegments:
    return SongSegments(songs_in([songbook]), RATE, segment_seconds=1.0, warmup_seconds=0.3)


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
