r"""Prediction of subgroups that are unknown: links from tracks to bus slots.

A slot is a bus that may be there; each track is linked to one of them. Slots have no names in the data, so the loss
first assigns true buses to slots such that it is smallest (Hungarian method), as set prediction does.

.. math:: L = \min_\pi \tfrac1n \sum_i -\log p(\mathrm{slot}_i = \pi(\mathrm{bus}_i))
"""

from collections.abc import Mapping, Sequence

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torch.nn.functional import cross_entropy


class BusLinks(nn.Module):
    """Scores of the links between tracks and bus slots: inner products of tracks, given their song, with slots.

    Args:
        size: numbers of a track's embedding and its song's context together.
        slots: the most buses of a song.
        channels: in which they are compared.

    Shape:
        tracks [tracks, size] -> logits [tracks, slots]
    """

    def __init__(self, size: int, slots: int, channels: int = 64) -> None:
        super().__init__()
        self.query = nn.Sequential(nn.Linear(size, 2 * channels), nn.ReLU(), nn.Linear(2 * channels, channels))
        self.slots = nn.Parameter(torch.randn(slots, channels) * channels**-0.5)

    def forward(self, tracks: Tensor) -> Tensor:
        """Scores of all links."""
        logits: Tensor = self.query(tracks) @ self.slots.mT
        return logits


def buses_from(logits: Tensor, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Each track on the bus of its best slot; bus -> tracks.

    Args:
        logits: [tracks, slots].
        names: of the tracks.
    """
    buses: dict[str, list[str]] = {}
    for name, slot in zip(names, logits.argmax(1).tolist(), strict=True):
        buses.setdefault(f"bus {slot + 1}", []).append(name)
    return {bus: tuple(members) for bus, members in buses.items()}


def link_loss(logits: Tensor, names: Sequence[str], subgroups: Mapping[str, Sequence[str]]) -> Tensor:
    """Cross entropy of the links under the best assignment of buses to slots, a 0-dim tensor.

    Tracks in no subgroup do not count; nor do those of the smallest buses, if there are more buses than slots.

    Args:
        logits: [tracks, slots].
        names: of the tracks.
        subgroups: bus -> tracks.
    """
    members = [[i for i, name in enumerate(names) if name in set(tracks)] for tracks in subgroups.values()]
    members = sorted((own for own in members if own), key=lambda own: -len(own))[: logits.size(1)]
    if not members:
        return logits.sum() * 0
    log_odds = logits.log_softmax(1)
    cost = torch.stack([-log_odds[own].sum(0) for own in members]).detach().cpu()
    buses, slots = linear_sum_assignment(cost.double().numpy())
    wanted = torch.full((len(names),), -100)  # what cross_entropy leaves out
    for bus, slot in zip(buses.tolist(), slots.tolist(), strict=True):
        wanted[members[bus]] = slot
    return cross_entropy(logits, wanted.to(logits.device))
