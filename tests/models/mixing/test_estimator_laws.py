"""Laws that hold for every model that proposes a graph, to the last bit where they say so."""

import warnings
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphmix.errors import GraphmixError
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.validation import validate
from graphmix.models.config import ModelConfig
from graphmix.models.mixing.baselines import LoudnessSumConfig, MeanParametersConfig, SumConfig
from graphmix.models.mixing.canonical import in_song_order
from graphmix.models.mixing.dmc import DMCConfig
from graphmix.models.mixing.estimator import Estimator, build_estimator
from graphmix.models.mixing.graph_estimator import GraphEstimatorConfig
from graphmix.models.mixing.nearest_song import NearestSongConfig
from graphmix.models.mixing.neural import NeuralEstimator
from graphmix.models.mixing.static_mix import StaticMixConfig
from graphmix.models.mixing.stems import Stems
from graphmix.search.losses import mix_loss
from tests.models.small_stems import (
    RATE,
    TINY,
    TINY_GRAPH,
    TINY_LEVELS,
    TINY_RESIDUAL,
    gains_graph,
    make_stems,
    shake,
    with_silent_track,
)
from tests.small_song import same_graph

CONFIGS: dict[str, ModelConfig] = {
    "sum": SumConfig(),
    "loudness_sum": LoudnessSumConfig(),
    "static_mix": StaticMixConfig(),
    "mean_parameters": MeanParametersConfig(chain="eg"),
    "nearest_song": NearestSongConfig(chain="eg", mels=16),
    "dmc": DMCConfig(chain="gs", hidden=8, **TINY),
    "dmc, full chain": DMCConfig(chain="ecnsgdr", hidden=8, **TINY_RESIDUAL),
    "gine": GraphEstimatorConfig(chain="eg", gnn="gine", **TINY_GRAPH),
    "gatv2": GraphEstimatorConfig(chain="gs", gnn="gatv2", **TINY_GRAPH),
    "transformer": GraphEstimatorConfig(chain="gs", gnn="transformer", head="joint", **TINY_GRAPH),
    "gps, full chain": GraphEstimatorConfig(chain="ecnsgdr", gnn="gps", **TINY_GRAPH),
    "all nodes": GraphEstimatorConfig(chain="eg", gnn="gps", conditioned_nodes="all", **TINY_GRAPH),
    "all nodes, joint": GraphEstimatorConfig(
        chain="gs", gnn="gine", conditioned_nodes="all", head="joint", **TINY_GRAPH
    ),
    "links": GraphEstimatorConfig(chain="gs", gnn="gps", predict_subgroups=True, bus_slots=3, **TINY_GRAPH),
    "reverse": GraphEstimatorConfig(chain="gs", gnn="gine", reverse=True, **TINY_GRAPH),
    "reverse dmc": DMCConfig(chain="g", hidden=8, reverse=True, **TINY),
    "levels": DMCConfig(chain="g", hidden=8, **TINY_LEVELS),
    "gain staging": DMCConfig(chain="cg", hidden=8, gain_staging=True, **TINY_LEVELS),
    "gain staging, graph": GraphEstimatorConfig(chain="cg", gnn="gps", gain_staging=True, **TINY_GRAPH),
}
NEURAL = [name for name, config in CONFIGS.items() if config.name in ("dmc", "graph")]
LARGE = ["sum", "loudness_sum", "static_mix", "mean_parameters", "nearest_song", "dmc", "gine", "links"]


def make_estimator(name: str) -> Estimator:
    """A model whose proposals depend on its input, in evaluation mode."""
    torch.manual_seed(1)
    model = build_estimator(CONFIGS[name])
    shake(model)
    songs = [make_stems(2, seed=seed) for seed in (5, 6)]
    graphs = [gains_graph({"track 0": [-3.0, -9.0], "track 1": gain}) for gain in (None, [-6.0, -6.0])]
    if not isinstance(model, NeuralEstimator):
        model.fit_graphs(graphs)
        model.fit_songs(zip(songs, graphs, strict=True))
    return model.eval()


MADE: dict[str, Estimator] = {}


def estimator_of(name: str) -> Estimator:
    """Made once; tests that train one make their own."""
    if name not in MADE:
        MADE[name] = make_estimator(name)
    return MADE[name]


@pytest.fixture(params=CONFIGS)
def estimator(request: pytest.FixtureRequest) -> Estimator:
    return estimator_of(request.param)


@pytest.fixture(params=NEURAL)
def neural(request: pytest.FixtureRequest) -> NeuralEstimator:
    made = estimator_of(request.param)
    assert isinstance(made, NeuralEstimator)
    return made


def one(graph: Any) -> MixGraph:
    assert isinstance(graph, MixGraph)
    return validate(graph)


@torch.no_grad()
def sounds(model: Estimator, stems: Stems) -> tuple[MixGraph, torch.Tensor, torch.Tensor]:
    """The proposal, its mix, and that of the soft console."""
    graph, soft = one(model(stems)), one(model.console(stems))
    return graph, model.render(graph, stems), model.render(soft, stems)


def same_sum(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Equal to rounding: tracks may be summed in another order."""
    return float((one - other).abs().max()) <= 1e-5 * float(one.abs().max())


@settings(deadline=None, max_examples=2)
@pytest.mark.parametrize("name", CONFIGS)
@given(order=st.permutations(range(4)))
def test_permuting_the_tracks_permutes_the_proposal_and_leaves_the_mix_unchanged(name: str, order: list[int]) -> None:
    model, stems = estimator_of(name), make_stems(4, seconds=0.5, silent=(2,))
    graph, mix, soft = sounds(model, stems)
    other_graph, other_mix, other_soft = sounds(model, stems.permuted(order))
    assert same_graph(graph, in_song_order(other_graph, stems.names))
    assert same_sum(mix, other_mix)
    assert same_sum(soft, other_soft)


def test_the_tracks_of_a_proposal_are_in_the_order_of_the_song(estimator: Estimator) -> None:
    stems = make_stems(6, seconds=0.3, silent=(1,)).permuted([4, 2, 1, 0, 5, 3])
    names = ["track 4", "track 2", "track 0", "track 5", "track 3", "track 1"]  # the silent one is last
    for graph in (estimator(stems), estimator.console(stems), estimator.forward_blocks([stems, stems])):
        assert one(graph).input_names == names


@pytest.mark.parametrize("name", NEURAL)
def test_permuting_the_tracks_leaves_a_soft_console_in_training_unchanged(name: str) -> None:
    stems = make_stems(4)
    consoles = []
    for order in (range(4), (3, 1, 0, 2)):
        graph = one(make_estimator(name).train()(stems.permuted(list(order))))
        consoles.append(in_song_order(graph, stems.names))
    assert same_graph(consoles[0], consoles[1])


@pytest.mark.parametrize("level", [0.0, 0.9e-5])
def test_a_silent_track_changes_nothing(estimator: Estimator, level: float) -> None:
    stems = make_stems(3, seconds=0.5)
    graph, mix, soft = sounds(estimator, stems)
    more, other_mix, other_soft = sounds(estimator, with_silent_track(stems, level=level))
    assert more.names == [*graph.names, "nothing"]
    assert torch.equal(more.node_type[:-1], graph.node_type)
    assert torch.equal(more.wet[:-1], graph.wet)
    assert all(torch.equal(values, graph.params[name]) for name, values in more.params.items())
    assert more.edge_index[:, -1].tolist() == [graph.num_nodes, int(graph.nodes_of("out")[0])]
    if level == 0:
        assert torch.equal(other_mix, mix)
        assert torch.equal(other_soft, soft)
    rounding = 1e-6 * float(mix.abs().max())
    assert float((other_mix - mix).abs().max()) <= level + rounding


def test_equal_tracks_get_equal_parameters_wherever_they_stand(estimator: Estimator) -> None:
    stems = make_stems(3, seconds=0.5, buses=1)
    twins = replace(stems, audio=stems.audio[[0, 1, 0]])
    graph = one(estimator.console(twins))
    rows = graph.rows().tolist()
    after = dict(graph.edge_index.t().tolist())
    strips = {}
    for node in graph.nodes_of("in").tolist():
        name, strip = graph.names[node], []
        while graph.type_of(after[node]).is_processor:
            node = after[node]
            strip.append(graph.params[graph.type_of(node).name][rows[node]])
        strips[name] = torch.cat([torch.zeros(0), *strip])
    assert torch.allclose(strips["track 0"], strips["track 2"], rtol=1e-4, atol=1e-4)


def test_one_track_is_enough(estimator: Estimator) -> None:
    stems = make_stems(1, seconds=0.5)
    graph, mix, _ = sounds(estimator, stems)
    assert [graph.names[node] for node in graph.nodes_of("in").tolist()] == ["track 0"]
    assert mix.shape == (2, RATE // 2)
    assert bool(mix.isfinite().all())


@pytest.mark.parametrize("name", LARGE)
def test_as_many_tracks_as_the_largest_song_of_the_paper(name: str) -> None:
    stems = make_stems(133, seconds=0.2, buses=26)
    graph, mix, _ = sounds(estimator_of(name), stems)
    assert graph.nodes_of("in").numel() == 133
    assert bool(mix.isfinite().all())


def test_stems_of_another_rate_are_resampled(estimator: Estimator) -> None:
    stems = make_stems(3, seconds=0.5, rate=48000)
    graph, mix, _ = sounds(estimator, stems)
    assert graph.sample_rate == RATE
    assert mix.shape == (2, RATE // 2)
    other, other_mix, _ = sounds(estimator, stems.permuted([2, 0, 1]))
    assert same_graph(graph, in_song_order(other, stems.names))
    assert same_sum(mix, other_mix)
    silent, silent_mix, _ = sounds(estimator, with_silent_track(stems))
    assert torch.equal(silent_mix, mix)
    assert silent.num_nodes == graph.num_nodes + 1


def test_songs_without_subgroups_work(estimator: Estimator) -> None:
    graph, mix, _ = sounds(estimator, make_stems(5, seconds=0.5, buses=0))
    assert graph.nodes_of("in").numel() == 5
    assert bool(mix.isfinite().all())


def test_nothing_but_silence_gets_bare_edges(estimator: Estimator) -> None:
    stems = make_stems(2, seconds=0.5, silent=(0, 1))
    graph, mix, soft = sounds(estimator, stems)
    assert sorted(graph.names) == ["mix", "track 0", "track 1"]
    assert not bool(mix.any() | soft.any())
    batch = estimator([stems, make_stems(2, seconds=0.5)])
    assert isinstance(batch, list)
    assert [one(own).nodes_of("in").numel() for own in batch] == [2, 2]


def test_a_batch_of_songs_is_embedded_like_each_of_them(estimator: Estimator) -> None:
    songs = [make_stems(2, seconds=0.5), make_stems(3, seconds=1.6, seed=1, buses=0), make_stems(1, rate=44100)]
    together = estimator.console(songs)
    assert isinstance(together, list)
    for graph, stems in zip(together, songs, strict=True):
        alone = one(estimator.console(stems))
        assert graph.names == alone.names
        assert torch.allclose(graph.wet, alone.wet, atol=1e-4)
        for name, values in graph.params.items():
            assert torch.allclose(values, alone.params[name], rtol=1e-3, atol=1e-2), name


def test_no_song_gives_no_graph(estimator: Estimator) -> None:
    assert estimator([]) == []


def test_blocks_of_a_song_are_averaged(estimator: Estimator) -> None:
    stems = make_stems(3, silent=(1,))
    whole, twice = one(estimator.forward_blocks([stems])), one(estimator.forward_blocks([stems, stems]))
    assert same_graph(one(estimator(stems)), whole)
    assert sorted(whole.names) == sorted(twice.names)
    halves = [replace(stems, audio=part) for part in stems.audio.split(RATE // 2, dim=2)]
    moved = [half.permuted([1, 2, 0]) for half in halves]
    other = in_song_order(one(estimator.forward_blocks(moved)), stems.names)
    assert same_graph(one(estimator.forward_blocks(halves)), other)


@pytest.mark.parametrize("hiss", [0.0, 1e-4])
def test_a_track_that_rests_for_a_block_is_described_by_what_it_plays(estimator: Estimator, hiss: float) -> None:
    stems, noise = make_stems(3), make_stems(3, seed=9)
    resting = stems.audio.clone()
    resting[0] = hiss * noise.audio[0]
    blocks = [stems, stems, replace(stems, audio=resting), replace(stems, audio=resting)]
    whole = one(estimator.forward_blocks([stems, stems]))
    graph = one(estimator.forward_blocks(blocks))
    assert torch.equal(graph.node_type, whole.node_type)
    assert torch.allclose(graph.wet, whole.wet, atol=2e-3)
    for name, values in graph.params.items():
        assert torch.allclose(values, whole.params[name], rtol=2e-3, atol=0.1), name


@torch.no_grad()
def test_whatever_is_silent_short_or_rare_gives_finite_proposals_without_warnings(estimator: Estimator) -> None:
    stems = make_stems(3, seconds=1.5)
    rare = stems.audio.clone()
    rare[0, :, RATE // 10 :] = 0  # sounds for a tenth of a second
    rare[1, 1] = 0  # on one side only
    assert stems.mix is not None
    songs = [
        replace(stems, audio=rare),
        replace(stems, audio=rare, mix=torch.zeros_like(stems.mix)),
        replace(stems, audio=torch.zeros_like(rare), mix=torch.zeros_like(stems.mix)),
        replace(stems, audio=1e-4 * rare.sign(), mix=1e-4 * stems.mix),
        make_stems(2, seconds=0.1),
        make_stems(1, seconds=1 / RATE),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for song in songs:
            for graph in (
                one(estimator(song)),
                one(estimator.console(song)),
                one(estimator.forward_blocks([song] * 2)),
            ):
                assert bool(graph.wet.isfinite().all())
                assert all(bool(values.isfinite().all()) for values in graph.params.values())
                assert graph.nodes_of("in").numel() == song.num_tracks
            assert bool(estimator.render(graph, song).isfinite().all())


def test_features_that_were_computed_before_are_the_same(neural: NeuralEstimator) -> None:
    stems = make_stems(3, rate=48000, silent=(0,))
    assert same_graph(one(neural(stems)), one(neural(neural.features(stems))))
    with pytest.raises(GraphmixError, match=r"expected \[tracks, 2, frames, 1[67]\]"):
        neural(replace(stems, features=torch.zeros(3, 2, 100, 8)))


def test_a_proposal_is_what_remains_of_the_console(neural: NeuralEstimator) -> None:
    stems = make_stems(3, silent=(1,))
    outputs = neural.outputs([stems])
    console, graph = outputs.consoles[0], one(neural(stems))
    processor = outputs.node_type >= 3
    kept = (outputs.keep_logit >= 0) & processor
    assert graph.processors.numel() == int(kept.sum())
    expected = outputs.wet_logit[kept].sigmoid().sort().values  # the graph is numbered as the song is, outputs are not
    assert torch.allclose(graph.wet[graph.processors].sort().values, expected)
    assert outputs.silent == (("track 1",),)
    assert set(outputs.tracks[0]) == {"track 0", "track 2"}
    assert {console.names[node] for node in console.nodes_of("in").tolist()} == set(outputs.tracks[0])


def test_outputs_split_by_song(neural: NeuralEstimator) -> None:
    songs = [make_stems(2), make_stems(4, seed=3)]
    outputs = neural.outputs(songs)
    parts = list(outputs.split())
    assert torch.equal(torch.cat([part.keep_logit for part in parts]), outputs.keep_logit)
    for part in parts:
        assert part.keep_logit.numel() == part.consoles[0].num_nodes
        for name, values in part.coefficients.items():
            assert values.shape == (part.consoles[0].params[name].size(0), neural.basis.sizes[name])


@pytest.mark.parametrize("name", NEURAL)
def test_gradients_flow_through_the_renderer_to_every_weight(name: str) -> None:
    neural, stems = make_estimator(name), make_stems(3, silent=(1,))
    assert isinstance(neural, NeuralEstimator)
    mix = neural.train().mix(stems)
    assert stems.mix is not None
    mix_loss(prediction=mix[None], target=stems.mix[None], sample_rate=RATE).total.backward()
    links = "links."
    for key, weight in neural.named_parameters():
        if not key.startswith(links):
            assert weight.grad is not None, key
            assert bool(weight.grad.isfinite().all()), key
    assert any(bool(p.grad.any()) for p in neural.encoder.parameters() if p.grad is not None)


def test_proposals_are_differentiable_in_evaluation_too(neural: NeuralEstimator) -> None:
    graph = one(neural(make_stems(3)))
    if graph.processors.numel():
        assert graph.wet.requires_grad
        assert any(values.requires_grad for values in graph.params.values())


@pytest.mark.parametrize("name", ["dmc", "gatv2", "transformer", "links", "reverse"])
def test_the_gradient_is_the_one_that_differences_show(name: str) -> None:
    model = make_estimator(name).double()
    stems = make_stems(2, seconds=0.3)
    assert stems.mix is not None
    stems = replace(stems, audio=stems.audio.double(), mix=stems.mix.double())

    def loss() -> torch.Tensor:
        graph = model.console(stems)
        assert isinstance(graph, MixGraph)
        return (model.render(graph, stems) - stems.sources(graph).sum(0)).square().mean()

    loss().backward()
    weights = [weight for weight in model.parameters() if weight.grad is not None]
    for weight in weights[:: max(1, len(weights) // 5)]:
        assert weight.grad is not None
        place = int(weight.grad.abs().argmax())
        analytic, step = float(weight.grad.flatten()[place]), 1e-6
        with torch.no_grad():
            values = []
            for sign in (1, -1):
                weight.view(-1)[place] += sign * step
                values.append(float(loss()))
                weight.view(-1)[place] -= sign * step
        assert (values[0] - values[1]) / (2 * step) == pytest.approx(analytic, rel=1e-2, abs=1e-10)


def test_a_model_in_reverse_mode_depends_on_the_mix() -> None:
    model, stems = estimator_of("reverse"), make_stems(2)
    assert stems.mix is not None
    other = replace(stems, mix=0.05 * torch.randn_like(stems.mix))
    assert not same_graph(one(model.console(stems)), one(model.console(other)))
    with pytest.raises(GraphmixError, match="takes the mix as well"):
        model(replace(stems, mix=None))


def test_models_without_heads_say_so() -> None:
    with pytest.raises(GraphmixError, match="has no heads"):
        estimator_of("sum").outputs([make_stems(1)])


def test_saved_weights_propose_the_same(neural: NeuralEstimator) -> None:
    other = build_estimator(neural.config).eval()
    other.load_state_dict(neural.state_dict())
    stems = make_stems(3)
    assert same_graph(one(neural(stems)), one(other(stems)))
