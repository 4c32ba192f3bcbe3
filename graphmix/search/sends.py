"""Shared returns: an effect that several tracks feed, added to a fitted console and kept if the song is closer with it.

For each effect of ``sends`` (a delay, a reverb; by letter or by name in brackets) every track gets a send, closed, and
the effect leads through an equalizer to where the buses are summed. All is trained together; then a return stands only
if the loss over the song rises by more than a stated share without it. Its sends are pruned one by one with all else.
"""

from typing import Any

import torch

from graphmix.chain_string import split_chain
from graphmix.errors import SearchError
from graphmix.graph.consoles import RETURN_CHAIN
from graphmix.graph.editing import remove_nodes, with_type
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.strips import find_strips
from graphmix.graph.topology import neighbours, reachable
from graphmix.processors.base import Processor
from graphmix.processors.rack import Rack
from graphmix.search.losses import LossTerms
from graphmix.search.objective import Objective
from graphmix.search.rides import Grown

LEAST_GAIN = 0.01
"""Share of the loss by which it has to rise without a return."""


def check_sends(sends: str, rack: Rack) -> None:
    """Refuse what makes no return.

    Args:
        sends: the effects, as a chain string.
        rack: of the console.

    Raises:
        SearchError: and which it is.
        GraphError: brackets that do not enclose a name.
    """
    known, names = _by_kind(rack), list[str]()
    for kind in split_chain(sends, "sends"):
        processor = known.get(kind)
        if processor is None or not processor.node_type.can_be_bypassed or len(processor.node_type.inlets) != 1:
            usual = ", ".join(known[key].node_type.label for key in "dr")
            word = "letter" if len(kind) == 1 else "name"
            raise SearchError(f"sends {sends!r}: the {word} {kind!r} makes no return; choose of: {usual}.")
        names.append(processor.node_type.name)
    if len(set(names)) < len(names):
        raise SearchError(f"sends {sends!r}: a letter comes twice; give each once.")


def _by_kind(rack: Rack) -> dict[str, Processor]:
    """The processors of graphmix and of a rack by name and by letter; the rack's come first."""
    found: dict[str, Processor] = {}
    for processor in (*Rack.full(rack.sample_rate), *rack):
        found |= {kind: processor for kind in (processor.node_type.name, processor.node_type.letter) if kind}
    return found


def add_returns(objective: Objective, graph: MixGraph, sends: str, loss: LossTerms | None = None) -> Grown:
    """The graph with a return for each effect, all sends closed, so that it sounds as before.

    Args:
        objective: the song.
        graph: a console.
        sends: the effects, as a chain string.
        loss: of the graph over the song, if it is known.
    """
    known = _by_kind(objective.rack)
    effects = [known[kind] for kind in split_chain(sends, "sends")]
    for processor in (*effects, *(known[kind] for kind in (*split_chain(RETURN_CHAIN), "u"))):
        objective = objective.with_processor(processor)
        graph = with_type(graph, processor.node_type)
    graph = graph.clone()
    target, strips = find_sum(graph), find_strips(graph)
    inputs = dict(zip(graph.input_names, graph.nodes_of("in").tolist(), strict=True))
    _, after = neighbours(graph.node_type.numel(), graph.edges())
    trials = []
    for effect in effects:
        name = effect.node_type.name
        returned = graph.add("mix", name=f"{name} return")
        chain = [graph.add(name), *(graph.add(behind) for behind in split_chain(RETURN_CHAIN))]
        row = int(graph.rows()[chain[0]])
        graph.params[name][row] = effect.start(graph.params[name][row : row + 1], torch.Generator().manual_seed(0))[0]
        graph.chain(returned, *chain, target)
        for track, start in inputs.items():
            if after[start]:
                send = graph.add("send", wet=0.0, gain_db=[0.0, 0.0])
                graph.connect((start, *strips.tracks[track])[-1], send, inlet=1).connect(send, returned)
        trials.append({"return": name, "kept": True})
    return Grown(graph, loss, trials, objective)


def keep_returns(objective: Objective, graph: MixGraph, loss: LossTerms) -> Grown:
    """The graph without the returns that the song does not need.

    Args:
        objective: the song.
        graph: with returns, trained.
        loss: of the graph over the song.
    """
    trials: list[dict[str, Any]] = []
    for name in [graph.names[node] for node in graph.nodes_of("mix").tolist() if graph.names[node].endswith(" return")]:
        without = without_return(graph, name)
        after = objective.evaluate(without)
        kept = bool(after.total > (1 + LEAST_GAIN) * loss.total)
        losses = {"loss_with": float(loss.total), "loss_without": float(after.total)}
        trials.append({"return": name.removesuffix(" return"), **losses, "kept": kept})
        if not kept:
            graph, loss = without, after
    return Grown(graph, loss, trials, objective)


def without_return(graph: MixGraph, name: str) -> MixGraph:
    """The graph without a return and all that feeds it."""
    before, _ = neighbours(graph.node_type.numel(), graph.edges())
    mix = next(node for node in graph.nodes_of("mix").tolist() if graph.names[node] == name)
    feeds = [node for node in before[mix] if graph.type_of(node).name == "send"]
    return without_unfed(remove_nodes(graph, feeds))


def without_unfed(graph: MixGraph) -> MixGraph:
    """The graph without mixes and processors that nothing sounds through any more, e.g. a return without sends."""
    _, after = neighbours(graph.node_type.numel(), graph.edges())
    sources = [n for n in range(graph.node_type.numel()) if not graph.type_of(n).inlets]
    fed = reachable(after, sources) | set(sources) | set(graph.nodes_of("out").tolist())
    gone = [n for n in range(graph.node_type.numel()) if n not in fed]
    return remove_nodes(graph, gone) if gone else graph


def find_sum(graph: MixGraph) -> int:
    """Where the buses are summed: the output, what stands first behind the sum, or the bus of a song with one."""
    before, _ = neighbours(graph.node_type.numel(), graph.edges())
    node = int(graph.nodes_of("out")[0])
    while len(before[node]) == 1 and graph.type_of(node).name != "mix" and graph.type_of(before[node][0]).name != "in":
        node = before[node][0]
    return node
