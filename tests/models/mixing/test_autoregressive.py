"""Decoding graphs: what a partial graph allows can be rendered, and probabilities are those of its choices."""

import math
import random
from collections import Counter
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from graphmix.errors import GraphError, GraphmixError
from graphmix.graph import MixGraph, mixing_console, validate
from graphmix.graph.editing import retype
from graphmix.models.config import EncoderConfig
from graphmix.models.mixing.autoregressive import AutoregressiveConfig, AutoregressiveEstimator, part_with_tracks
from graphmix.models.mixing.autoregressive_network import PrototypeNet
from graphmix.models.mixing.canonical import in_song_order
from graphmix.models.mixing.decoding import beam_search, decode, most_probable, sampler
from graphmix.models.mixing.linearize import IncomingEdge, linearize
from graphmix.models.mixing.partial_graph import PartialGraph, Ports, decoding_steps
from graphmix.models.mixing.stems import Stems
from graphmix.processors import Gain, Imager, Rack
from graphmix.render import Renderer
from graphmix.spec import STRUCTURAL, TypeTable
from tests.models.random_dags import KINDS, RACK, random_dag
from tests.small_song import same_graph

TYPES = TypeTable((*STRUCTURAL, *RACK.types))
SMALL = AutoregressiveConfig(
    chain="sg",
    mels=16,
    encoder=EncoderConfig(width=2, embedding=8),
    channels=16,
    heads=2,
    layers=1,
    rounds=1,
    hidden=8,
    nodes=3,
    nodes_per_track=1.0,
)
SIZE = 6
dags = st.builds(random_dag, st.integers(0, 10**6), st.integers(1, 3), st.integers(0, 8))


def place_of(kind: str) -> int:
    return TYPES.index(kind)


def net(seed: int = 0) -> PrototypeNet:
    torch.manual_seed(seed)
    return PrototypeNet(SIZE, TYPES, channels=16, heads=2, layers=2).eval()


def sounds(inputs: int, seed: int = 3) -> Tensor:
    return torch.randn(inputs, SIZE, generator=torch.Generator().manual_seed(seed))


def stems(tracks: int, samples: int = 15000, sample_rate: int = 30000, seed: int = 1) -> Stems:
    audio = 0.3 * torch.randn(tracks, 2, samples, generator=torch.Generator().manual_seed(seed))
    audio = audio * torch.linspace(0.2, 1.0, tracks)[:, None, None]
    return Stems(audio, tuple(f"track {i}" for i in range(tracks)), sample_rate)


def made(config: AutoregressiveConfig = SMALL, seed: int = 0) -> AutoregressiveEstimator:
    torch.manual_seed(seed)
    return AutoregressiveEstimator(config).eval()


# --- partial graphs


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 12), st.sampled_from([None, 1, 2]))
def test_whatever_is_allowed_becomes_a_graph_that_every_track_reaches(
    seed: int, inputs: int, room: int, fan_out: int | None
) -> None:
    rng = random.Random(seed)
    partial = PartialGraph(TYPES, inputs, room, fan_out=fan_out)
    while not partial.done:
        kind = rng.choice([i for i, allowed in enumerate(partial.types_allowed()) if allowed])
        partial.append(kind, random_edges(partial, kind, rng))
    graph = validate(partial.to_graph(30000))
    assert graph.node_type.numel() - inputs <= room
    assert graph.nodes_of("out").numel() == 1
    assert set(graph.nodes_of("in").tolist()) <= set(graph.edge_index[0].tolist())
    uses = Counter((edge.source, edge.outlet) for edges in partial.edges for edge in edges)
    assert fan_out is None or max(uses.values()) <= fan_out
    assert torch.isfinite(Renderer(RACK)(graph, 0.1 * torch.ones(inputs, 2, 50))).all()


def random_edges(partial: PartialGraph, kind: int, rng: random.Random) -> list[IncomingEdge]:
    edges: list[IncomingEdge] = []
    while True:
        allowed = partial.ports.allowed([partial.choice(kind, edges)], partial.node_type)[0]
        number = rng.choice(allowed.nonzero().flatten().tolist())
        if number == partial.ports.size(partial.place):
            return edges
        edges.append(partial.ports.edge(number, partial.place))


def test_the_table_of_edges_counts_row_by_row() -> None:
    ports = Ports(TYPES)
    assert (ports.inlets, ports.outlets, ports.size(4)) == (2, 3, 24)
    for number in range(24):
        assert ports.index(ports.edge(number, 4), 4) == number
    edges = [ports.edge(number, 4) for number in range(24)]
    assert edges == sorted(edges)


def test_what_a_draft_refuses() -> None:
    partial = PartialGraph(TYPES, 2, 3)
    gain, duck, out = place_of("gain"), place_of("sidechain_compressor"), place_of("out")
    first, second = IncomingEdge(0, 0, 0), IncomingEdge(0, 1, 0)
    for kind, edges in (
        (gain, [IncomingEdge(0, 2, 0)]),  # itself
        (gain, [IncomingEdge(1, 0, 0)]),  # gains have one inlet
        (gain, [IncomingEdge(0, 0, 1)]),  # inputs have one outlet
        (gain, [second, first]),  # out of order
        (gain, [first, first]),  # twice
        (duck, [IncomingEdge(1, 0, 0)]),  # a sidechain alone
        (out, [second]),  # passes over the first input
    ):
        with pytest.raises(GraphError, match="cannot have an edge"):
            partial.copy().append(kind, edges)
    with pytest.raises(GraphError, match="gain at place 2 has no edge"):
        partial.append(gain, [])
    with pytest.raises(GraphError, match=r"out at place 2 leaves \[1\] without a way out"):
        partial.append(out, [first])
    with pytest.raises(GraphError, match="in cannot be appended at place 2"):
        partial.append(place_of("in"), [])
    partial.append(duck, [first, IncomingEdge(1, 1, 0)])
    partial.append(gain, [IncomingEdge(0, 2, 0)])
    with pytest.raises(GraphError, match="gain cannot be appended at place 4"):  # the last place is for out
        partial.append(gain, [IncomingEdge(0, 3, 0)])
    with pytest.raises(GraphError, match="has no out node yet"):
        partial.to_graph(30000)
    partial.append(out, [IncomingEdge(0, 3, 0)])
    assert partial.done
    validate(partial.to_graph(30000))


def test_an_outlet_has_no_more_edges_than_the_fan_out() -> None:
    partial = PartialGraph(TYPES, 2, 3, fan_out=1)
    gain = place_of("gain")
    partial.append(gain, [IncomingEdge(0, 0, 0)])
    with pytest.raises(GraphError, match="one too many of its outlet"):
        partial.copy().append(gain, [IncomingEdge(0, 0, 0)])
    partial.append(gain, [IncomingEdge(0, 1, 0)])


@pytest.mark.parametrize("decoding", ["greedy", "beam", "sample"])
def test_proposals_keep_to_the_fan_out(decoding: str) -> None:
    config = SMALL.model_copy(update={"decoding": decoding, "nodes": 8})
    most = {}
    for fan_out in (None, 1):
        graph = made(config.model_copy(update={"fan_out": fan_out}))(stems(4))
        most[fan_out] = int(graph.edge_index[0].bincount().max())
    assert most[1] == 1
    assert most[None] > 1 or decoding == "beam"  # which finds a short graph without


def test_a_partial_graph_needs_an_input_and_room() -> None:
    with pytest.raises(GraphError, match="a partial graph has 1 input and room for 1 node or more, not 0 and 3"):
        PartialGraph(TYPES, 0, 3)


# --- transcripts


@settings(max_examples=40, deadline=None)
@given(dags)
def test_every_choice_of_a_true_graph_is_allowed(graph: MixGraph) -> None:
    sequence = linearize(graph)
    steps = decoding_steps(sequence, room=5)
    partial = steps.partial
    assert partial.done
    assert tuple(partial.node_type) == sequence.node_type
    assert tuple(partial.edges) == sequence.edges
    nodes = torch.arange(len(steps.kinds))
    assert steps.allowed[nodes, steps.kinds].all()
    allowed = partial.ports.allowed(steps.choices, partial.node_type)
    choices = torch.arange(len(steps.targets))
    assert allowed[choices, steps.targets].all()
    assert len(choices) == graph.num_edges + len(nodes)


def test_what_cannot_be_transcribed() -> None:
    def bare(*kinds: str) -> MixGraph:
        graph = MixGraph(RACK.types)
        for kind in kinds:
            graph.add(kind)
        return graph

    two = bare("in", "out", "out").connect(0, 1).connect(0, 2)
    with pytest.raises(GraphError, match="the graph has 1 inputs and 2 outputs"):
        decoding_steps(linearize(two), 9)
    doubled = bare("in", "out").connect(0, 1).connect(0, 1)
    with pytest.raises(GraphError, match="cannot have an edge"):
        decoding_steps(linearize(doubled), 9)
    unfed = bare("in", "sidechain_compressor", "out").connect(0, 1, inlet=1).connect(1, 2)
    with pytest.raises(GraphError, match="cannot have an edge"):
        decoding_steps(linearize(unfed), 9)


def test_muted_inputs_need_no_edge() -> None:
    graph = MixGraph(RACK.types)
    graph.chain(graph.add("in", "voice"), graph.add("out"))
    graph.add("in", "muted")
    assert decoding_steps(linearize(graph), 9).partial.done


# --- probabilities


@torch.no_grad()
def stepwise(
    model: PrototypeNet, conditioning: Tensor, partial: PartialGraph, kinds: Sequence[int], edges: Sequence
) -> list[float]:
    """Log-probabilities of the choices of a graph, each from the partial graph as it was then."""
    found = []
    for kind, own in zip(kinds, edges, strict=True):
        encoding = model.encode(conditioning, partial)
        state, log_types = model.next_types(encoding, partial)
        found.append(float(log_types[kind]))
        for i in range(len(own) + 1):
            taken = [edge.source for edge in own[:i]]
            log_edges = model.next_edges(encoding, state, partial, partial.choice(kind, own[:i]), taken)
            size = partial.ports.size(partial.place)
            found.append(float(log_edges[partial.ports.index(own[i], partial.place) if i < len(own) else size]))
        partial.append(kind, own)
    return found


@settings(max_examples=10, deadline=None)
@given(dags)
def test_teacher_forcing_gives_the_probabilities_of_decoding(graph: MixGraph) -> None:
    model, sequence = net(), linearize(graph)
    conditioning = sounds(sequence.num_inputs)
    steps = decoding_steps(sequence, room=20)
    with torch.no_grad():
        likelihood = model(conditioning, steps)
    fresh = PartialGraph(TYPES, sequence.num_inputs, 20, _muted(sequence.num_inputs, sequence.edges))
    decoded = stepwise(model, conditioning, fresh, steps.kinds.tolist(), sequence.edges)
    both = torch.cat([likelihood.types, likelihood.edges])
    assert torch.isfinite(both).all()
    assert (both <= 0).all()
    assert float(both.sum()) == pytest.approx(sum(decoded), rel=1e-4, abs=1e-3)


def _muted(inputs: int, edges: Sequence) -> set[int]:
    return set(range(inputs)) - {edge.source for own in edges for edge in own}


def test_probabilities_sum_to_one_over_what_is_allowed() -> None:
    model, partial = net(), PartialGraph(TYPES, 3, 9)
    partial.append(place_of("crossover"), [IncomingEdge(0, 1, 0)])
    with torch.no_grad():
        encoding = model.encode(sounds(3), partial)
        state, log_types = model.next_types(encoding, partial)
        for kind in (place_of("gain"), place_of("sidechain_compressor"), place_of("out")):
            choice = partial.choice(kind, [])
            probabilities = model.next_edges(encoding, state, partial, choice, []).exp()
            allowed = partial.ports.allowed([choice], partial.node_type)[0]
            assert float(probabilities.sum()) == pytest.approx(1, abs=1e-5)
            assert not probabilities[~allowed].any()
    assert float(log_types.exp().sum()) == pytest.approx(1, abs=1e-5)
    assert float(log_types[place_of("in")]) == -math.inf


def test_the_order_of_inputs_does_not_matter() -> None:
    """Inputs have no numbers, so that exchanging two leaves the type of the next node alone."""
    model, conditioning, partial = net(), sounds(3), PartialGraph(TYPES, 3, 5)
    with torch.no_grad():
        first, second = (
            model.next_types(model.encode(conditioning[order], partial), partial)[1].exp()
            for order in ([0, 1, 2], [2, 0, 1])
        )
    torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("inputs", [1, 3])
def test_greedy_sampled_and_beamed_graphs_are_finished(inputs: int) -> None:
    model, conditioning, empty = net(), sounds(inputs), PartialGraph(TYPES, inputs, 6)
    greedy = decode(model, conditioning, empty)
    sampled = [decode(model, conditioning, empty, sampler(torch.Generator().manual_seed(5))) for _ in range(2)]
    beamed = beam_search(model, conditioning, empty, width=3)
    for decoded in (greedy, *sampled, beamed):
        validate(decoded.partial.to_graph(30000))
        assert decoded.log_probability <= 0
    assert sampled[0].partial.node_type == sampled[1].partial.node_type
    assert sampled[0].partial.edges == sampled[1].partial.edges
    assert empty.place == inputs  # is not changed


def test_a_narrow_beam_is_greedy_and_a_wide_one_is_at_least_as_probable() -> None:
    for seed in range(4):
        model, conditioning, empty = net(seed), sounds(2), PartialGraph(TYPES, 2, 3)
        greedy = decode(model, conditioning, empty, most_probable)
        narrow = beam_search(model, conditioning, empty, width=1)
        wide = beam_search(model, conditioning, empty, width=100)
        assert narrow.partial.edges == greedy.partial.edges
        assert narrow.log_probability == pytest.approx(greedy.log_probability, abs=1e-4)
        assert wide.log_probability >= greedy.log_probability - 1e-4


# --- the estimator


@pytest.mark.parametrize("decoding", ["greedy", "beam", "sample"])
def test_every_track_reaches_the_mix_of_a_proposal(decoding: str) -> None:
    model, song = made(SMALL.model_copy(update={"decoding": decoding})), stems(3)
    graph = model(song)
    assert isinstance(graph, MixGraph)
    validate(graph)
    assert sorted(graph.names[node] for node in graph.nodes_of("in").tolist()) == sorted(song.names)
    assert graph.provenance == {"model": "autoregressive"}
    mix = model.mix(song)
    assert mix.shape == (2, 15000)
    assert torch.isfinite(mix).all()


def test_permuting_the_tracks_permutes_the_proposal() -> None:
    model, song = made(), stems(4)
    permuted = song.permuted([2, 0, 3, 1])
    graph, other = model(song), model(permuted)
    assert (graph.input_names, other.input_names) == (list(song.names), list(permuted.names))
    assert same_graph(graph, in_song_order(other, song.names))
    torch.testing.assert_close(model.render(graph, song), model.render(other, permuted), rtol=1e-4, atol=1e-5)


def test_a_silent_track_changes_nothing_and_gets_a_bare_edge() -> None:
    model, song = made(), stems(3)
    silence = torch.zeros(1, 2, song.audio.size(2))
    more = Stems(torch.cat([silence, song.audio]), ("nothing", *song.names), song.sample_rate)
    with torch.no_grad():
        graph = model(more)
        assert torch.equal(model.mix(song), model.mix(more))
    node = graph.names.index("nothing")
    assert graph.edge_index[1, graph.edge_index[0] == node].tolist() == graph.nodes_of("out").tolist()


def test_nothing_but_silence_gets_bare_edges() -> None:
    graph = made()(Stems(torch.zeros(2, 2, 9000), ("a", "b"), 30000))
    validate(graph)
    assert graph.num_edges == 2


@pytest.mark.parametrize(("tracks", "sample_rate"), [(1, 30000), (133, 30000), (2, 48000)])
def test_any_number_of_tracks_and_any_rate(tracks: int, sample_rate: int) -> None:
    model = made(SMALL.model_copy(update={"nodes_per_track": 0.02}))
    song = stems(tracks, 3000, sample_rate)
    with torch.no_grad():
        graph = model(song)
        assert torch.isfinite(model.render(graph, song)).all()
    assert graph.nodes_of("in").numel() == tracks
    assert graph.sample_rate == 30000


def test_in_reverse_mode_proposals_depend_on_the_mix() -> None:
    model, song = made(SMALL.model_copy(update={"reverse": True})), stems(2)
    with pytest.raises(GraphmixError, match="takes the mix as well"):
        model(song)
    known = Stems(song.audio, song.names, song.sample_rate, mix=song.audio.sum(0))
    validate(model(known))


def test_gradients_of_the_sound_reach_the_heads() -> None:
    song, config = stems(2), SMALL.model_copy(update={"nodes": 4, "nodes_per_track": 2.0})
    model = next(m for m in (made(config, seed) for seed in range(20)) if m(song).processors.numel())
    model.mix(song).square().sum().backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.heads.parameters())


def test_it_fills_no_console() -> None:
    with pytest.raises(GraphmixError, match="fills no console; train it by teacher_forcing_loss"):
        made().outputs([stems(1)])


def test_channels_are_a_multiple_of_heads() -> None:
    with pytest.raises(ValueError, match="channels is 16 and heads 3"):
        AutoregressiveConfig(channels=16, heads=3)


# --- learning


def truth(names: Sequence[str] = ("track 0", "track 1")) -> MixGraph:
    """The first track at -12 dB, and both through an imager."""
    graph = MixGraph(Rack([Gain(), Imager()]).types)
    first, second = (graph.add("in", name) for name in names)
    gain, mix = graph.add("gain", gain_db=[-12.0, -12.0]), graph.add("mix", "bus")
    imager, out = graph.add("imager", side_db=-6.0, wet=0.7), graph.add("out", "mix")
    return graph.chain(first, gain, mix, imager, out).connect(second, mix)


def test_it_overfits_one_graph() -> None:
    model, song, graph = made(), stems(2), truth()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    losses: list[float] = []
    # In evaluation mode, for one song has no batch whose statistics to learn.
    while len(losses) < 600 and (not losses or losses[-1] >= 0.01):
        loss = model.teacher_forcing_loss([song], [graph])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.01
    with torch.no_grad():
        found = model(song)
    order = [found.names.index(name) for name in song.names]
    in_order = [graph.names.index(name) for name in song.names]
    expected = linearize(retype(graph, model.types), in_order)
    assert linearize(found, order).prototype == expected.prototype
    gain = found.params["gain"][0]
    assert gain.tolist() == pytest.approx([-12, -12], abs=3)
    assert float(found.wet[found.nodes_of("imager")[0]]) == pytest.approx(0.7, abs=0.15)


def test_every_part_learns() -> None:
    model = made().train()
    model.teacher_forcing_loss([stems(2), stems(2, seed=9)], [truth(), truth()]).backward()
    for part in (model.encoder, model.net, model.messages, model.heads):
        assert sum(float(p.grad.abs().sum()) for p in part.parameters() if p.grad is not None) > 0


def test_silent_tracks_are_left_out_of_the_truth() -> None:
    model, song = made(), stems(2)
    silent = Stems(song.audio * torch.tensor([1.0, 0.0])[:, None, None], song.names, 30000)
    assert torch.isfinite(model.teacher_forcing_loss([silent], [truth()]))
    part = part_with_tracks(truth(), ["track 1"])
    assert [part.type_of(node).name for node in range(4)] == ["in", "mix", "imager", "out"]
    nothing = Stems(torch.zeros(1, 2, 9000), ("track 0",), 30000)
    assert float(model.teacher_forcing_loss([nothing], [truth()]).detach()) == 0


def test_what_it_cannot_learn_from() -> None:
    model = made()
    with pytest.raises(GraphError, match=r"the graph has no input 'track .'; its inputs are: a, b"):
        model.teacher_forcing_loss([stems(2)], [truth(("a", "b"))])
    rack = Rack.console("c")
    compressed = mixing_console(rack, {"bus": ["track 0", "track 1"]}, "c")
    with pytest.raises(GraphError, match="the graph has a 'compressor', which is none of the types in, mix"):
        model.teacher_forcing_loss([stems(2)], [compressed])
    other = mixing_console(Rack.console("g", 44100), {"bus": ["track 0", "track 1"]}, "g")
    with pytest.raises(GraphError, match="the graph is at 44100 Hz and the model 'autoregressive' at 30000 Hz"):
        model.teacher_forcing_loss([stems(2)], [other])


def test_the_toys_hold_every_kind_of_port() -> None:
    assert {"mix", "crossover", "sidechain_compressor"} <= set(KINDS)
