r"""A loss of proposed patches on their sound, through the graphs of the synthesizers.

The numbers of a patch that a network proposes stand in the graph of the true one, which has the right choices (the
wires of an FM algorithm, waveforms: they learn by cross entropy) and the same note. It is played, brought to the level
of the true sound, and compared with it by the log-spectral distance of :mod:`graphmix.synthesizers.sounds`; gradients
flow through the renderer to the network.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch_geometric.data import Batch

from graphmix.graph.mixgraph import MixGraph
from graphmix.render.renderer import Renderer
from graphmix.spec import Curve
from graphmix.synthesizers.instruments import SYNTHESIZERS
from graphmix.synthesizers.modules import PatchParameter
from graphmix.synthesizers.sounds import LevelTarget, power_spectra

LEAST_POWER = 1e-12
_LEAST_SQUARE = 1e-2
"""Added to the mean squared difference of a frame in dB², for a gradient where two sounds are equal."""


@dataclass(frozen=True)
class Place:
    """Where a number of a patch stands in its graph.

    Args:
        entry: of the vector.
        parameter: range and scale.
        row: of the nodes of its type in the graph of one patch; of all nodes for a dry/wet weight.
        column: of the type's parameters.
    """

    entry: int
    parameter: PatchParameter
    row: int
    column: int

    @property
    def curve(self) -> Curve:
        """Scale of the number."""
        return self.parameter.curve

    def physical(self, numbers: Tensor) -> Tensor:
        """Numbers from 0 to 1 in the parameter's own unit."""
        low, high = (float(self.curve.raw(torch.tensor(end))) for end in (self.parameter.low, self.parameter.high))
        found = self.curve.physical(low + numbers * (high - low))
        return found.clamp(self.parameter.low, self.parameter.high)


@cache
def places(name: str) -> dict[str, tuple[Place, ...]]:
    """Where the numbers of a synthesizer's patches stand, by node type; ``""`` has those of the dry/wet weights."""
    synthesizer = SYNTHESIZERS[name]
    entries, begin = dict[str, int](), 0
    for p in synthesizer.parameters:
        if not p.options:
            entries[p.name] = begin
        begin += p.size
    return {
        kind: tuple(Place(entries[label], synthesizer.by_name[label], row, column) for label, row, column in numbers)
        for kind, numbers in synthesizer.numbers().items()
    }


def with_numbers(name: str, graphs: Sequence[MixGraph], vectors: Tensor) -> MixGraph:
    """Patches of one synthesizer as one batch, with other numbers; gradients reach the vectors.

    Args:
        name: of the synthesizer.
        graphs: with the choices and the notes.
        vectors: :meth:`graphmix.synthesizers.Synthesizer.vector` of each, [graphs, width]; choices are not read.
    """
    batch: MixGraph = Batch.from_data_list(list(graphs))
    for kind, own in places(name).items():
        rows, columns = [p.row for p in own], [p.column for p in own]
        numbers = torch.stack([p.physical(vectors[:, p.entry]) for p in own], 1)
        if kind:
            values = batch.params[kind].unflatten(0, (len(graphs), -1)).clone()
            values[:, rows, columns] = numbers
            batch.params[kind] = values.flatten(0, 1)
        else:
            weights = batch.wet.unflatten(0, (len(graphs), -1)).clone()
            weights[:, rows] = numbers
            batch.wet = weights.flatten()
    return batch


def sound_distance(
    name: str, graphs: Sequence[MixGraph], vectors: Tensor, renderer: Renderer, seconds: float
) -> Tensor:
    """Log-spectral distances in dB between patches and what they are with other numbers, at equal levels, [graphs].

    Args:
        name: of the synthesizer.
        graphs: the true patches.
        vectors: proposed numbers, see :func:`with_numbers`.
        renderer: for generators at the graphs' rate.
        seconds: that are played.
    """
    silence = torch.zeros(0, 2, round(seconds * graphs[0].sample_rate))
    with torch.no_grad():
        target = renderer(Batch.from_data_list(list(graphs)), silence)[:, 0]
        levels = LevelTarget(target)
    found = renderer(with_numbers(name, graphs, vectors), silence)[:, 0]
    gain = target.square().mean(-1) / found.square().mean(-1).clamp(min=LEAST_POWER)
    squares = levels.squares(power_spectra(found) * gain[:, None, None])
    return (squares + _LEAST_SQUARE).sqrt().mean(-1)
