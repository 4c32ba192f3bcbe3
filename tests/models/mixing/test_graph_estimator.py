"""The graph estimator: what is particular to it."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from graphmix.graph.mixgraph import MixGraph
from graphmix.models.config import EncoderConfig
from graphmix.models.heads import JointHead, PerTypeHeads
from graphmix.models.mixing.graph_estimator import GraphEstimator, GraphEstimatorConfig
from graphmix.models.mixing.stems import Stems
from tests.models.small_stems import RATE, TINY_GRAPH, make_stems, shake, tone

NETWORKS = ("gine", "gatv2", "transformer", "gps")


def make(gnn: str = "gine", chain: str = "gs", **more: Any) -> GraphEstimator:
    torch.manual_seed(4)
    model = GraphEstimator(GraphEstimatorConfig.model_validate({"chain": chain, "gnn": gnn, **TINY_GRAPH, **more}))
    shake(model)
    return model.eval()


def console_of(model: GraphEstimator, stems: Stems) -> MixGraph:
    graph = model.console(stems)
    assert isinstance(graph, MixGraph)
    return graph


def test_the_full_console_is_over_the_known_subgroups() -> None:
    stems = make_stems(4, buses=2)
    graph = console_of(make(), stems)
    assert graph.num_nodes == 4 + 4 * 2 + 2 * (1 + 2) + 1
    assert sorted(graph.names[node] for node in graph.nodes_of("mix").tolist()) == ["bus 0", "bus 1"]


def test_what_is_not_kept_is_not_in_the_proposal() -> None:
    model, stems = make(chain="gsc"), make_stems(6)
    with torch.no_grad():
        for kind, logit in (("gain", -50.0), ("imager", 50.0), ("compressor", 50.0)):
            model.heads.decoders[kind][-1].bias[0] = logit
    graph = model(stems)
    assert isinstance(graph, MixGraph)
    counts = {name: graph.nodes_of(name).numel() for name in ("gain", "imager", "compressor")}
    assert counts == {"gain": 0, "imager": 8, "compressor": 8}


@pytest.mark.parametrize("gnn", NETWORKS)
def test_every_node_depends_on_every_track(gnn: str) -> None:
    model, stems = make(gnn), make_stems(3, buses=1)
    quieter = stems.audio.clone()
    quieter[0] *= 0.1
    before, after = (model.outputs([song]) for song in (stems, replace(stems, audio=quieter)))
    one, other = _wet_by_place(before), _wet_by_place(after)
    assert one.keys() == other.keys()
    assert all(abs(one[place] - other[place]) > 1e-7 for place in one)


def _wet_by_place(outputs: Any) -> dict[tuple[str, int], float]:
    """Dry/wet logits by what a chain belongs to and the place in it."""
    console = outputs.consoles[0]
    after = dict(console.edge_index.t().tolist())
    found = {}
    for head in [*console.nodes_of("in").tolist(), *console.nodes_of("mix").tolist()]:
        node, place = after[head], 0
        while console.type_of(node).is_processor:
            found[console.names[head], place] = float(outputs.wet_logit[node].detach())
            node, place = after[node], place + 1
    return found


def test_buses_have_settings_of_their_own() -> None:
    wet = _wet_by_place(make().outputs([make_stems(2, buses=1)]))
    assert abs(wet["bus 0", 0] - wet["track 0", 0]) > 1e-6


def test_shortcuts_are_only_for_the_eyes() -> None:
    stems = make_stems(2)
    with_them, without = (console_of(make(shortcuts=shortcuts), stems) for shortcuts in (True, False))
    assert torch.equal(with_them.edge_index, without.edge_index)
    assert not torch.allclose(with_them.wet, without.wet)


def test_both_designs_of_heads_are_there() -> None:
    assert isinstance(make(head="per-type").heads, PerTypeHeads)
    assert isinstance(make(head="joint").heads, JointHead)


def test_unknown_subgroups_are_one_bus_or_predicted() -> None:
    stems = make_stems(8, buses=0)
    plain = console_of(make(), stems)
    assert [plain.names[node] for node in plain.nodes_of("mix").tolist()] == ["mix bus"]
    model = make(predict_subgroups=True, bus_slots=3)
    outputs = model.outputs([stems])
    assert outputs.bus_logits is not None
    assert outputs.bus_logits[0].shape == (8, 3)
    slots = dict(zip(outputs.tracks[0], outputs.bus_logits[0].argmax(1).tolist(), strict=True))
    console = console_of(model, stems)
    names = console.names
    for mix in console.nodes_of("mix").tolist():
        ends = console.edge_index[0, console.edge_index[1] == mix]
        chains = {names[_head(console, int(end))] for end in ends}
        assert {f"bus {slots[name] + 1}" for name in chains} == {names[mix]}


def _head(console: MixGraph, node: int) -> int:
    """The input at the beginning of a chain."""
    before = {target: source for source, target in console.edge_index.t().tolist()}
    while console.type_of(node).name != "in":
        node = before[node]
    return node


def test_known_subgroups_come_before_predicted_ones() -> None:
    stems = make_stems(4, buses=2)
    console = console_of(make(predict_subgroups=True), stems)
    assert sorted(console.names[node] for node in console.nodes_of("mix").tolist()) == ["bus 0", "bus 1"]


def test_the_loss_of_the_links_counts_songs_with_known_subgroups() -> None:
    model = make(predict_subgroups=True, bus_slots=3).train()
    known, unknown, silent = make_stems(4), make_stems(3, buses=0), make_stems(1, silent=(0,))
    songs = [known, unknown, silent]
    loss = model.subgroup_loss(model.outputs(songs), songs)
    assert float(loss.detach()) > 0
    loss.backward()
    assert model.links is not None
    assert all(p.grad is not None and bool(p.grad.any()) for p in model.links.parameters())
    assert float(model.subgroup_loss(model.outputs([unknown]), [unknown]).detach()) == 0
    plain = make()
    assert float(plain.subgroup_loss(plain.outputs([known]), [known]).detach()) == 0


@pytest.mark.parametrize("gnn", NETWORKS)
def test_what_to_keep_can_be_learnt(gnn: str) -> None:
    """Low tracks have a gain, high ones and buses have none: two songs to overfit."""
    model = make(gnn, chain="g", encoder=EncoderConfig(width=4, embedding=8)).train()
    songs = [model.features(low_and_high(seed)) for seed in range(2)]
    optimizer = torch.optim.Adam(model.parameters(), lr=0.004)
    losses = [1.0]
    while losses[-1] >= 0.3 and len(losses) < 100:
        outputs = model.outputs(songs)
        names = [name for console in outputs.consoles for name in _owners(console)]
        wanted = torch.tensor([name.startswith("low") for name in names]).float()
        logits = outputs.keep_logit[outputs.node_type == 3]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.3


def low_and_high(seed: int) -> Stems:
    """Two tracks below 200 Hz, two above 2 kHz."""
    frequencies = {"low a": 100.0, "low b": 150.0, "high a": 2500.0, "high b": 3500.0}
    tracks = [tone(frequency * 1.02**seed, 0.1, seconds=0.5) for frequency in frequencies.values()]
    names = tuple(frequencies)
    return Stems(torch.stack(tracks), names, RATE, {"bus": names})


def _owners(console: MixGraph) -> list[str]:
    """For each gain the name of the input or mix before it."""
    before = {target: source for source, target in console.edge_index.t().tolist()}
    return [console.names[before[node]] for node in console.nodes_of("gain").tolist()]
