"""A graph at another sample rate, its sound unchanged in the band that both rates have.

====================================  ==========================================================================
gain, imager, align, crossover        the same parameters
equalizer                             its gains at the other rate's frequencies; the highest goes on above them
delay, reverb                         the response of the rate at which the graph was made, resampled: its type
                                      says at which (``base_rate``); see :mod:`graphmix.processors.resampled`
compressors, gates                    the same parameters: times are in milliseconds. Their detectors receive
                                      what lies above the old rate's band as well
captured effects, separators          the same parameters: they resample for their networks
processors of your own                as their :meth:`~graphmix.processors.Processor.at_rate` says
====================================  ==========================================================================

There and back gives the delays and reverbs that were, to the last bit.
"""

import copy
from dataclasses import replace

from graphmix.errors import GraphError
from graphmix.graph.editing import remove_nodes
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.rack import Rack
from graphmix.spec import TypeTable

TOP_OCTAVE = "top octave"
"""Name of the equalizer that mining adds above the band of its search (:mod:`graphmix.search.full_band`)."""


def at_rate(graph: MixGraph, sample_rate: int, rack: Rack | None = None) -> MixGraph:
    """The graph at another sample rate.

    Args:
        graph: one graph.
        sample_rate: in Hz.
        rack: its processors at the rate that it has; graphmix's own by default. Types from files (captured effects)
            need none.

    Raises:
        GraphError: a batch, a rate that is no positive number, a processor that cannot go there.
    """
    if isinstance(graph.info, list):
        raise GraphError("change the rate of graphs one by one: this is a batch; use batch.to_data_list() first.")
    if sample_rate < 1:
        raise GraphError(f"a graph cannot be at {sample_rate} Hz; give a positive rate, such as 44100.")
    if sample_rate == graph.sample_rate:
        return graph
    own = [t for t in graph.types.types if not t.source]
    rack = rack or Rack.for_types(own, graph.sample_rate)
    types, params = [], {}
    for node_type in graph.types.types:
        if not node_type.is_processor:
            types.append(node_type)
            continue
        values = graph.params[node_type.name].detach()
        if not node_type.source:
            processor = rack[node_type.name]
            other = processor.at_rate(sample_rate)
            node_type = other.node_type
            values = processor.params_at(values, other) if len(values) else values.new_zeros(0, node_type.width)
            low, high = (bound.to(values) for bound in node_type.bounds())
            values = values.clamp(low, high)
        types.append(node_type)
        params[node_type.name] = values
    result = copy.copy(graph)
    result.params = params
    provenance = dict(graph.provenance)
    if "num_samples" in provenance:
        provenance["num_samples"] = -(-int(provenance["num_samples"]) * sample_rate // graph.sample_rate)
    result.info = replace(graph.info, types=TypeTable(tuple(types)), sample_rate=sample_rate, provenance=provenance)
    return result


def at_working_rate(graph: MixGraph) -> MixGraph:
    """A mined graph at the rate of its search, so that graphs of songs of all rates go together.

    Mining leaves a graph at the rate of its song, and the settings of the search in its provenance; other graphs stay
    as they are. The filter that mining adds above the band of its search goes.

    Raises:
        GraphError: a processor that cannot go there.
    """
    settings = graph.provenance.get("settings")
    rate = settings.get("sample_rate") if isinstance(settings, dict) else None
    known = isinstance(rate, int) and not isinstance(rate, bool) and rate > 0
    made = str(graph.provenance.get("made_by", "")).endswith(" mine")
    if not made or not known or rate is None or rate == graph.sample_rate:
        return graph
    added = [node for node, name in enumerate(graph.names) if name == TOP_OCTAVE and graph.type_of(node).is_processor]
    return at_rate(remove_nodes(graph, added) if added else graph, rate)
