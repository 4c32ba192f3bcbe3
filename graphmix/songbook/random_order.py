"""Mixes whose chains have random types in random order, so that no fixed console is their true graph.

Each track has a fader, at a random place of its chain, which brings it near the loudness that its role wants; before
and behind it stand one to three other processors, drawn from a list without one twice. Buses of several tracks have up
to two. Settings are drawn for the signal that comes in, and drawn again as long as they hardly change it.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from graphmix.chain_string import join_chain, split_chain
from graphmix.errors import GraphError, SongError
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.rack import Rack
from graphmix.render.renderer import Renderer
from graphmix.songbook.effects import Setting, panned_gain
from graphmix.songbook.engineer import Wish
from graphmix.songbook.features import measure
from graphmix.songbook.mixing import (
    MIX_LOUDNESS_DB,
    PEAK_CEILING_DB,
    Mixed,
    build_console,
    find_wishes,
    through_gear,
)
from graphmix.songbook.random_settings import DRAWS, loudest_change_db
from graphmix.songbook.roles import find_role
from graphmix.songbook.session import MixingStyle, Session

RANDOM_TYPES = "ecnsgdr[parametric_eq][tanh][transient_shaper][chorus][phaser][feedback_delay]"
"""Types of random chains, where no others are wanted: the console's and some that it has not."""
TRACK_SHARES, BUS_SHARES = (0.0, 0.3, 0.4, 0.3), (0.4, 0.4, 0.2)
"""Shares of the chains with 0, 1, 2, … processors beside the fader."""
LEAST_CHANGE_DB = -20.0
"""A processor changes so much of its signal beside the level, or is drawn again."""
TRIES, PASSES = 6, 6


def find_kinds(types: str) -> list[str]:
    """Names of the types of random chains.

    Args:
        types: as a chain string.

    Raises:
        SongError: one for which no settings can be drawn, one that comes twice, or no gain.
    """
    able = Rack(p for p in Rack.full() if p.node_type.name in DRAWS)
    try:
        names = [able.types[_place(able, kind)].name for kind in split_chain(types, "types")]
    except (KeyError, GraphError) as error:
        known = join_chain(t.letter or t.name for t in able.types)
        raise SongError(f"types {types!r} of random chains: {error.args[0]}; choose of: {known}.") from None
    if len(set(names)) < len(names):
        raise SongError(f"types {types!r} of random chains: one comes twice; give each once.")
    if "gain" not in names:
        raise SongError(f"types {types!r} of random chains: faders need a gain; add 'g'.")
    return names


def _place(rack: Rack, kind: str) -> int:
    for place, node_type in enumerate(rack.types):
        if kind in (node_type.name, node_type.letter):
            return place
    raise KeyError(f"no settings are known of {kind!r}")


class _Chains:
    """Draws chains and passes audio through them.

    Args:
        session: dry tracks.
        kinds: names of the types.
    """

    def __init__(self, session: Session, kinds: Sequence[str]) -> None:
        self.session, self.kinds = session, kinds
        self.rack = Rack.console(join_chain(kinds), session.sample_rate)

    def draw(
        self, rng: Generator, shares: Sequence[float], audio: Tensor, wish: Wish | None
    ) -> tuple[list[Setting], Tensor]:
        """A chain and what comes out of it.

        Args:
            rng: random numbers.
            shares: of the numbers of processors.
            audio: what comes in, [2, samples].
            wish: loudness and place of the fader; without, there is none.
        """
        others = [kind for kind in self.kinds if wish is None or kind != "gain"]
        count = min(int(rng.choice(len(shares), p=shares)), len(others))
        order = [others[k] for k in rng.permutation(len(others))]
        fader = int(rng.integers(count + 1)) if wish is not None else -1
        chain: list[Setting] = []
        taken = 0
        for kind in [*order, ""]:
            if taken == fader and wish is not None:
                audio = self._append(chain, self._fader(wish, audio), audio)
                fader = -1
            if taken == count or not kind:
                break
            setting = self._setting(rng, kind, audio)
            if setting is not None:
                audio = self._append(chain, setting, audio)
                taken += 1
        if fader >= 0 and wish is not None:  # fewer types than wanted do anything to this signal
            audio = self._append(chain, self._fader(wish, audio), audio)
        return chain, audio

    def _fader(self, wish: Wish, audio: Tensor) -> Setting:
        return panned_gain(wish.loudness_db - measure(audio.numpy(), self.session.sample_rate).loudness_db, wish.place)

    def _append(self, chain: list[Setting], setting: Setting, audio: Tensor) -> Tensor:
        chain.append(setting)
        return self.play([setting], audio)

    def _setting(self, rng: Generator, kind: str, audio: Tensor) -> Setting | None:
        """Settings that change the signal; None where none were found."""
        features = measure(audio.numpy(), self.session.sample_rate)
        for _ in range(TRIES):
            setting = DRAWS[kind](rng, features, self.session.sample_rate)
            if (
                kind == "gain"
                or loudest_change_db(audio.numpy(), self.play([setting], audio).numpy()) > LEAST_CHANGE_DB
            ):
                return setting
        return None

    @torch.no_grad()
    def play(self, chain: Sequence[Setting], audio: Tensor) -> Tensor:
        """Audio [2, samples] through a chain."""
        for kind, wet, values in chain:
            processor = self.rack[kind]
            graph = MixGraph((processor.node_type,), self.rack.sample_rate)
            graph.add(kind, **values)
            audio = processor.mix(audio[None], graph.params[kind], torch.tensor([wet]))[0][0]
        return audio


def mix_in_random_order(session: Session, style: MixingStyle, types: str, seed: tuple[int, ...]) -> Mixed:
    """Mix a session by random chains.

    Args:
        session: dry tracks, roles and subgroups.
        style: of the engineer: levels and width.
        types: of the processors, as a chain string; a gain is among them.
        seed: of the chains; tracks are numbered in the session's order, buses after them.

    Raises:
        SongError: types of which no chains can be made, or a mix that cannot be brought below full scale.
    """
    chains = _Chains(session, find_kinds(types))
    roles = {track: find_role(role) for track, role in session.roles.items()}
    played = {track: audio.expand(2, -1).contiguous() for track, audio in through_gear(session).items()}
    wishes = find_wishes({t: measure(audio.numpy(), session.sample_rate) for t, audio in played.items()}, roles, style)
    louder = 0.0
    for number in range(PASSES):
        mixed = _draw_mix(chains, played, {t: Wish(w.loudness_db + louder, w.place) for t, w in wishes.items()}, seed)
        f = measure(mixed.mix.numpy(), session.sample_rate)
        missing = min(MIX_LOUDNESS_DB - f.loudness_db, PEAK_CEILING_DB - 0.01 - f.peak_db)
        if missing >= 0 and (number or missing < 1):
            return mixed
        louder += missing - 0.2
    raise SongError(f"no mix of these tracks by {types!r} stays below {PEAK_CEILING_DB} dB; choose other types.")


def _draw_mix(
    chains: _Chains, played: Mapping[str, Tensor], wishes: Mapping[str, Wish], seed: tuple[int, ...]
) -> Mixed:
    """One mix: all follows from seed and wishes."""
    session = chains.session
    drawn: dict[str, list[Setting]] = {}
    signals: dict[str, Tensor] = {}
    for number, (track, audio) in enumerate(played.items()):
        rng = np.random.default_rng((*seed, number))
        drawn[track], signals[track] = chains.draw(rng, TRACK_SHARES, audio, wishes[track])
        if track in session.gear:
            drawn[track] = [session.gear[track], *drawn[track]]
    bus_chains: dict[str, list[Setting]] = {}
    for number, (bus, members) in enumerate(session.subgroups.items(), start=len(played)):
        rng = np.random.default_rng((*seed, number))
        total = torch.stack([signals[track] for track in members]).sum(0)
        bus_chains[bus] = chains.draw(rng, BUS_SHARES, total, None)[0] if len(members) > 1 else []
    rack = Rack.console(join_chain([*chains.kinds]), session.sample_rate)
    for effect in session.effects:
        rack = rack.with_processor(effect)
    graph = build_console(session.subgroups, drawn, bus_chains, session.sample_rate, types=rack.types)
    order = [track for members in session.subgroups.values() for track in members]
    with torch.no_grad():
        mix = Renderer(rack)(graph, torch.stack([session.stems[track].expand(2, -1) for track in order]))[0]
    return Mixed(graph, mix)
