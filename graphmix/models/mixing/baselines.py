"""Baselines that a model has to beat. They have no weights that a gradient would move.

===================  ============================================================================================
``sum``              the plain sum of the tracks
``loudness_sum``     the sum of the tracks at equal loudness, as loud as the mixes of the training songs
``random``           the same with faders and places drawn at random
``mean_parameters``  constant settings: each place of the console is kept if it mostly is in the training graphs,
                     with mean raw parameters and mean dry/wet weight
===================  ============================================================================================

The nearest training song is :mod:`graphmix.models.mixing.nearest_song`.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from graphmix.audio.loudness import LOWEST_LUFS, gated_loudness, loudness, window_powers
from graphmix.chain_string import split_chain
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.strips import find_strips
from graphmix.models.config import ModelConfig
from graphmix.models.mixing.basis import physical_values
from graphmix.models.mixing.canonical import CanonicalSong, EmbeddedSong, canonical_buses
from graphmix.models.mixing.estimator import Embeddings, Estimator, register
from graphmix.models.mixing.stems import Stems
from graphmix.models.mixing.wiring import (
    KEEP_FROM,
    console_of_faders,
    console_places,
    flat_console,
    full_console,
    set_console,
    with_silent,
)
from graphmix.processors.rack import Rack
from graphmix.spec import TypeTable

GAIN_RANGE_DB = (-60.0, 24.0)
"""A track that is hardly there is not made as loud as the others."""
ON_TRACK, ON_BUS = 0, 1


class SumConfig(ModelConfig):
    """The plain sum; its rate is its only setting."""

    name: Literal["sum"] = "sum"
    chain: Literal[""] = ""


class LoudnessSumConfig(ModelConfig):
    """The sum at equal loudness.

    Args:
        mix_lufs: integrated loudness of the sum; training replaces it by that of the training mixes.
    """

    name: Literal["loudness_sum"] = "loudness_sum"
    chain: Literal["g"] = "g"
    mix_lufs: float = Field(default=-16.0, ge=LOWEST_LUFS, le=0)


class RandomConfig(ModelConfig):
    """Faders and places at random.

    Args:
        mix_lufs: about the integrated loudness of the sum, before the faders are drawn.
        fader_db: faders are drawn evenly from so many dB below to so many above equal loudness.
        seed: of the draws; a track of the same samples gets the same ones.
    """

    name: Literal["random"] = "random"
    chain: Literal["g"] = "g"
    mix_lufs: float = Field(default=-16.0, ge=LOWEST_LUFS, le=0)
    fader_db: float = Field(default=12.0, ge=0)
    seed: int = Field(default=0, ge=0)


class MeanParametersConfig(ModelConfig):
    """Constant settings."""

    name: Literal["mean_parameters"] = "mean_parameters"


@register
class SumBaseline(Estimator):
    """The plain sum: an edge from each track to the output."""

    config_type: ClassVar[type[ModelConfig]] = SumConfig
    needs_training: ClassVar[bool] = False

    def graphs_of(self, songs: Sequence[EmbeddedSong], *, soft: bool) -> list[MixGraph]:
        """One edge for each track."""
        return [
            with_silent(flat_console(self.rack.types, song.names, "", self.sample_rate), song.silent).to(self.device)
            for song in songs
        ]


class _FromLoudness(Estimator):
    """Sees nothing of a track but its loudness."""

    def embeddings_of(self, songs: Sequence[CanonicalSong]) -> list[Embeddings]:
        """Powers of the windows that loudness is measured in, [active, windows]."""
        return [Embeddings(_window_powers(song)) for song in songs]

    def pool(self, parts: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
        """The windows of all blocks, which are gated together."""
        return torch.cat(list(parts))

    def gains_to(self, mix_lufs: float, song: EmbeddedSong) -> Tensor:
        """Gains in dB that give all active tracks the same loudness, and their sum a given one, [active]."""
        wanted = mix_lufs - 10 * math.log10(max(1, song.num_tracks))
        return (wanted - gated_loudness(song.tracks).float().cpu()).clamp(*GAIN_RANGE_DB)


@register
class LoudnessSum(_FromLoudness):
    r"""Each track at the same integrated loudness (ITU-R BS.1770-4), and the sum at that of the training mixes.

    .. math:: g_i = L_{mix} - 10 \log_{10} n - L_i

    n is the number of active tracks; the powers of tracks are taken to add up.
    """

    config_type: ClassVar[type[ModelConfig]] = LoudnessSumConfig
    needs_training: ClassVar[bool] = False
    config: LoudnessSumConfig
    mix_lufs: Tensor

    def __init__(self, config: ModelConfig, rack: Rack | None = None) -> None:
        super().__init__(config, rack)
        self.register_buffer("mix_lufs", torch.tensor(self.config.mix_lufs))

    @torch.no_grad()
    def fit_songs(self, examples: Iterable[tuple[Stems, MixGraph]]) -> None:
        """Mean loudness of the mixes; those that are silent do not count."""
        measured = [loudness(stems.mix, stems.sample_rate) for stems, _ in examples if stems.mix is not None]
        audible = [lufs for lufs in measured if lufs > LOWEST_LUFS]
        if audible:
            self.mix_lufs.fill_(sum(audible) / len(audible))

    def graphs_of(self, songs: Sequence[EmbeddedSong], *, soft: bool) -> list[MixGraph]:
        """One gain for each track."""
        graphs = []
        for song in songs:
            gains = self.gains_to(float(self.mix_lufs), song)[:, None].expand(-1, 2).contiguous()
            graph = console_of_faders(self.rack.types, song.names, song.silent, gains, self.sample_rate)
            graphs.append(graph.to(self.device))
        return graphs


@register
class RandomMix(_FromLoudness):
    r"""Each track at equal loudness, its fader moved and its place set at random: what no decision at all sounds like.

    .. math:: g_l = G + 20 \log_{10}(\sqrt2 \cos\theta), \quad g_r = G + 20 \log_{10}(\sqrt2 \sin\theta), \quad
        \theta \sim U(0, \pi / 2)

    G in dB is the gain of :class:`LoudnessSum` and a draw from ±``fader_db``. A hash of the samples seeds a track's
    draws.
    """

    config_type: ClassVar[type[ModelConfig]] = RandomConfig
    needs_training: ClassVar[bool] = False
    config: RandomConfig

    def graphs_of(self, songs: Sequence[EmbeddedSong], *, soft: bool) -> list[MixGraph]:
        """One gain for each track."""
        graphs = []
        for song in songs:
            draws = torch.tensor([self._draws(digest) for digest in song.digests]).reshape(-1, 2)
            gain = self.gains_to(self.config.mix_lufs, song) + (2 * draws[:, 0] - 1) * self.config.fader_db
            angle = draws[:, 1] * (math.pi / 2)
            sides = math.sqrt(2) * torch.stack([angle.cos(), angle.sin()], dim=1)
            gains = gain[:, None] + 20 * sides.clamp(min=1e-3).log10()
            graph = console_of_faders(self.rack.types, song.names, song.silent, gains, self.sample_rate)
            graphs.append(graph.to(self.device))
        return graphs

    def _draws(self, digest: bytes) -> list[float]:
        """Two numbers from 0 to 1 for a track."""
        seed = int.from_bytes(digest[:6], "big") ^ self.config.seed
        return torch.rand(2, generator=torch.Generator().manual_seed(seed)).tolist()


def _window_powers(song: CanonicalSong) -> Tensor:
    """K-weighted powers of windows of 400 ms of all active tracks, [active, windows]."""
    return window_powers(song.audio, song.sample_rate) if song.names else song.audio.new_zeros(0, 1)


class AudibleStrip(NamedTuple):
    """Processors of one track or bus that are not bypassed, in order."""

    role: int
    start: int
    nodes: tuple[int, ...]


def audible_strips(graph: MixGraph) -> Iterator[AudibleStrip]:
    """The chain of each input and of each mix, by the node that it begins at."""
    strips = find_strips(graph)
    input_of = dict(zip(graph.input_names, graph.nodes_of("in").tolist(), strict=True))
    wet = graph.wet.tolist()
    for name, nodes in strips.tracks.items():
        yield AudibleStrip(ON_TRACK, input_of[name], tuple(node for node in nodes if wet[node] > 0))
    for mix, nodes in strips.buses.items():
        yield AudibleStrip(ON_BUS, mix, tuple(node for node in nodes if wet[node] > 0))


@register
class MeanParameters(Estimator):
    """Constant settings for each place in the chain of a track, and of a bus: what the training graphs mostly have.

    A place is kept if at least half of the training tracks (or buses) keep it; its raw parameters and its dry/wet
    weight are the means over those that do.
    """

    config_type: ClassVar[type[ModelConfig]] = MeanParametersConfig
    config: MeanParametersConfig
    keep: Tensor
    weight: Tensor

    def __init__(self, config: ModelConfig, rack: Rack | None = None) -> None:
        super().__init__(config, rack)
        table = TypeTable(self.rack.types)
        self.kinds = [table[table.index(kind)].name for kind in split_chain(self.config.chain)]
        self.register_buffer("keep", torch.ones(2, len(self.kinds)))
        self.register_buffer("weight", torch.tensor([self.rack[kind].start_wet for kind in self.kinds]).repeat(2, 1))
        for place, kind in enumerate(self.kinds):
            processor = self.rack[kind]
            neutral = processor.to_raw(processor.node_type.neutral()[None])
            self.register_buffer(f"raw_{place}", neutral.repeat(2, 1))

    @torch.no_grad()
    def fit_graphs(self, graphs: Iterable[MixGraph]) -> None:
        """Count the processors kept in each place, and average their parameters."""
        strips = torch.zeros(2)
        kept, weight = torch.zeros(2, len(self.kinds)), torch.zeros(2, len(self.kinds))
        raw: dict[tuple[int, int], list[Tensor]] = {}
        for graph in graphs:
            rows = graph.rows().tolist()
            for strip in audible_strips(graph):
                strips[strip.role] += 1
                for place, node in self._in_places(graph, strip.nodes):
                    kind = self.kinds[place]
                    kept[strip.role, place] += 1
                    weight[strip.role, place] += float(graph.wet[node])
                    row = graph.params[kind][rows[node]][None]
                    raw.setdefault((strip.role, place), []).append(self.rack[kind].to_raw(row.to(self.device)))
        self.keep.copy_(kept / strips.clamp(min=1)[:, None])
        for (role, place), found in raw.items():
            self.weight[role, place] = weight[role, place] / kept[role, place]
            self.get_buffer(f"raw_{place}")[role] = torch.cat(found).mean(0)

    def _in_places(self, graph: MixGraph, nodes: Sequence[int]) -> Iterator[tuple[int, int]]:
        """(place in the chain, node): the first processor of a type takes the first place of its type."""
        free = dict(enumerate(self.kinds))
        for node in nodes:
            name = graph.type_of(node).name
            place = next((place for place, kind in free.items() if kind == name), None)
            if place is not None:
                del free[place]
                yield place, node

    def graphs_of(self, songs: Sequence[EmbeddedSong], *, soft: bool) -> list[MixGraph]:
        """The same settings for every song."""
        return [self._proposal(song, soft) for song in songs]

    def _proposal(self, song: EmbeddedSong, soft: bool) -> MixGraph:
        buses = canonical_buses(song.names, song.subgroups)
        console = full_console(self.rack.types, buses, self.config.chain, self.sample_rate)
        role, place = (where.to(self.device) for where in console_places(song.num_tracks, len(buses), len(self.kinds)))
        inside = role >= 0
        keep, wet = torch.ones_like(role, dtype=self.keep.dtype), torch.ones_like(role, dtype=self.keep.dtype)
        keep[inside], wet[inside] = self.keep[role[inside], place[inside]], self.weight[role[inside], place[inside]]
        params = {}
        for name in self.rack.names:
            nodes = console.nodes_of(name).tolist()
            found = [self.get_buffer(f"raw_{int(place[node])}")[int(role[node])] for node in nodes]
            raw = torch.stack(found) if found else self.keep.new_zeros(0, 0)
            params[name] = physical_values(self.rack, name, raw)
        keep_from = 0.0 if soft else KEEP_FROM
        return set_console(
            console, song.silent, params, wet, keep, soft=soft, model=self.config.name, keep_from=keep_from
        )
