"""REAPER projects: ``NAME.RPP`` with ``Media`` (the tracks) and ``Effects/graphmix`` (effects and responses).

The effects are JSFX, text that REAPER compiles, with the equations of the processors;
:mod:`graphmix.sessions.reaper_plan` says what becomes what. Equalizer, crossover, delay and reverb are convolutions
with their impulse response, each one by itself, so that an engineer can switch it off, move it, and turn its dry/wet.

**What is read back.** Settings that an effect has sliders for are its sliders; those of convolutions lie in the state
that the effect writes with the project. Which node of the graph something is, stands in the comment of an effect and
in the data that a track keeps for extensions (``<EXT``), the output in the project's (``<EXTSTATE``): all of it REAPER
loads and saves. Faders and envelopes stand there twice, and what the mixer shows counts where the two differ.
"""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import soundfile
from torch import Tensor

from graphmix import __version__
from graphmix.audio.files import AUDIO_EXTENSIONS, write_audio
from graphmix.errors import GraphError
from graphmix.processors.ride import used_points
from graphmix.sessions.ardour_plan import not_held
from graphmix.sessions.names import safe_names
from graphmix.sessions.printing import refuse
from graphmix.sessions.reaper_plan import Strip, StripPlan, plan_strips
from graphmix.sessions.reaper_state import Envelope, Fader, Track, Whole
from graphmix.sessions.reaper_text import (
    LAW,
    SLIDERS,
    Block,
    base64_lines,
    envelope_points,
    fader_of,
    quoted,
    word,
)
from graphmix.sessions.session import Device, Session
from graphmix.sessions.stretches import APART, DIAGONAL, response_of

ENDING = ".RPP"
FOLDER = "Effects/graphmix"
PATH = "<Project>/graphmix/"
"""Where REAPER looks for effects of a project: its folder ``Effects``."""
SECTION = "GRAPHMIX"
KEY = "graphmix"
MOST_TAPS = 480_000
"""Of a response, left and right, in the memory of an effect."""
MOST_ALIGN = 2_000_000
"""Samples of delay in its ring."""


@dataclass(frozen=True)
class Effect:
    """A JSFX effect.

    Args:
        template: file of its text.
        sliders: parameters of the node type in the order of its sliders, with the index among a parameter's values;
            "wet" is dry/wet.
        text: what stands in the template's places.
    """

    template: str
    sliders: tuple[tuple[str, int], ...]
    text: Mapping[str, str]

    @property
    def is_convolution(self) -> bool:
        """Whether it has a response, and settings without sliders."""
        return self.template == "convolution"


def _dynamics(times: str, is_gate: bool, has_sidechain: bool = False) -> Effect:
    """A compressor or a gate; times are the names of its parameters."""
    names = times.split()
    bounds = {"time_ms": ("Time", 20, 2000), "attack_ms": ("Attack", 10, 2000), "release_ms": ("Release", 100, 5000)}
    lines = [f"slider{5 + k}:{bounds[n][1]}<0.05,{bounds[n][2]},0.05>{bounds[n][0]} (ms)" for k, n in enumerate(names)]
    text = {
        "threshold": "-50" if is_gate else "-20",
        "times": "\n".join(lines),
        "release": f"slider{4 + len(names)}",
        "slope": "1 - slider2" if is_gate else "1 / slider2 - 1",
        "direction": "-1" if is_gate else "1",
        "detector": "spl2 + spl3" if has_sidechain else "spl0 + spl1",
        "inputs": "in_pin:left sidechain\nin_pin:right sidechain" if has_sidechain else "",
        "outputs": "out_pin:silence\nout_pin:silence" if has_sidechain else "",
        "end": "spl2 = 0;\nspl3 = 0;" if has_sidechain else "",
    }
    first = ("threshold_db", "ratio", "knee_db", "wet")
    return Effect("dynamics", tuple((name, 0) for name in (*first, *names)), text)


_CONVOLUTION = Effect("convolution", (("wet", 0),), {})
EFFECTS: Mapping[str, Effect] = {
    "gain": Effect("gain", (("gain_db", 0), ("gain_db", 1), ("wet", 0)), {}),
    "imager": Effect("imager", (("side_db", 0), ("wet", 0)), {}),
    "send": Effect("send", (("gain_db", 0), ("gain_db", 1), ("wet", 0)), {}),
    "align": Effect("align", (("delay_ms", 0), ("polarity", 0)), {}),
    "limiter": Effect("limiter", (("ceiling_db", 0), ("lookahead_ms", 0), ("release_ms", 0), ("wet", 0)), {}),
    "compressor": _dynamics("time_ms", is_gate=False),
    "noisegate": _dynamics("time_ms", is_gate=True),
    "ballistic_compressor": _dynamics("attack_ms release_ms", is_gate=False),
    "ballistic_gate": _dynamics("attack_ms release_ms", is_gate=True),
    "sidechain_compressor": _dynamics("time_ms", is_gate=False, has_sidechain=True),
    **dict.fromkeys(sorted((APART | DIAGONAL) - {"align", "gain"}), _CONVOLUTION),
}


@cache
def effect_text(kind: str) -> str:
    """The text of the effect of a node type."""
    effect = EFFECTS[kind]
    text = (files("graphmix.sessions") / "jsfx" / f"{effect.template}.jsfx").read_text("utf-8")
    for key, value in {"kind": kind, **effect.text}.items():
        text = text.replace(f"@{key}@", value)
    return text


def lacking(session: Session, editable: bool = False) -> list[Device]:
    """Devices that a project cannot hold."""
    return not_held(session, {*EFFECTS, "ride"})


def check_reaper(session: Session) -> None:
    """See that a project can hold a session.

    Raises:
        GraphError: several outputs, of which REAPER has one; a processor from elsewhere, or too long a delay.
    """
    refuse(lacking(session), "a REAPER project")
    if session.channels[-1].node is None:
        raise GraphError(
            "a REAPER project has one master, and this graph several out nodes; connect them by a mix node."
        )
    for device in session.devices():
        if device.kind == "align" and device.value("delay_ms") * session.sample_rate / 1000 > MOST_ALIGN:
            raise GraphError(
                f"{device.label} delays by {device.value('delay_ms') / 1000:g} s, and its effect in REAPER by at most "
                f"{MOST_ALIGN / session.sample_rate:.1f} s; move the track's audio instead."
            )


def write_reaper(session: Session, read_track: Callable[[int], Tensor], folder: Path, num_samples: int) -> None:
    """Write a project into a folder that exists and is empty; arguments as ``write_ardour``'s.

    Raises:
        GraphError: an impulse response that is longer than an effect takes.
    """
    plan = plan_strips(session)
    tracks = [strip for strip in plan.strips if strip.entry == "in"]
    names = safe_names(strip.name.removesuffix(".wav") for strip in tracks)
    media: dict[int, tuple[str, float]] = {}
    (folder / "Media").mkdir()
    for strip, name in zip(tracks, names, strict=True):
        assert strip.node is not None
        audio = read_track(strip.node)
        write_audio(folder / "Media" / f"{name}.wav", audio, session.sample_rate)
        media[strip.node] = f"Media/{name}.wav", audio.shape[1] / session.sample_rate
    effects = folder / FOLDER
    effects.mkdir(parents=True)
    for kind in sorted({device.kind for device in session.devices()} & set(EFFECTS)):
        (effects / f"{kind}.jsfx").write_text(effect_text(kind), "utf-8")
    root = _Project(session, plan, media, effects, num_samples / session.sample_rate).root()
    (folder / f"{session.name}{ENDING}").write_text("\n".join(root.lines()) + "\n", "utf-8")


class _Project:
    """The blocks of one project; writes the responses of its convolutions as it comes to them."""

    def __init__(
        self, session: Session, plan: StripPlan, media: Mapping[int, tuple[str, float]], effects: Path, seconds: float
    ) -> None:
        self.session, self.plan, self.media, self.effects, self.seconds = session, plan, media, effects, seconds
        self.responses = 0

    def guid(self, *what: object) -> str:
        name = "/".join(map(str, (self.session.name, *what)))
        return f"{{{str(uuid.uuid5(uuid.NAMESPACE_OID, name)).upper()}}}"

    def root(self) -> Block:
        plan, rate = self.plan, self.session.sample_rate
        root = Block(f'REAPER_PROJECT 0.1 "7.0/graphmix-{__version__}" 0')
        for line in ("RIPPLE 0", "AUTOXFADE 0", "PANLAW 1", "PANMODE 3", "PANLAWFLAGS 3", "ITEMMIX 1", "TEMPO 120 4 4"):
            root.add(line)
        root.add("SAMPLERATE", rate, 1, 0)
        root.add("RENDER_FMT", 0, 2, rate)
        root.add("RENDER_RANGE", 0, 0, self.seconds, 18, 1000)
        root.add("SELECTION", 0, self.seconds)
        root.add("SELECTION2", 0, self.seconds)
        root.add("MASTER_NCH", 2, 2)
        master = plan.master or Strip("Master")
        volume, pan, points = _mixer(master)
        root.add("MASTER_VOLUME", volume, pan, LAW, -1, 1)
        root.add("MASTER_PANMODE", 3)
        root.add("MASTER_PANLAWFLAGS", 3)
        root.add("MASTER_FX", 1)
        root.add("MASTERMUTESOLO", 0)
        if points:
            self._add_envelope(root, "MASTERVOLENV2", points)
        if master.effects:
            self._add_effects(root.block("MASTERFXLIST"), master)
        for index, strip in enumerate(plan.strips):
            self._add_track(root, index, strip)
        node, name = plan.output
        state = Whole(output=node, name=name, master=None if plan.master is None else _state(plan.master))
        root.block("EXTSTATE").block(SECTION).add(KEY, state.encoded())
        return root

    def _add_track(self, root: Block, index: int, strip: Strip) -> None:
        plan = self.plan
        following = plan.depths[index + 1] if index + 1 < len(plan.depths) else 0
        step = following - plan.depths[index]
        track = root.block("TRACK", self.guid("track", index))
        volume, pan, points = _mixer(strip)
        track.add("NAME", quoted(_without_ending(strip.name)))
        track.add("AUTOMODE", 0)
        track.add("PANLAWFLAGS", 3)
        track.add("VOLPAN", volume, pan, LAW, -1, 1)
        is_mute = not plan.sends[index] and not any(c.source == index for c in plan.receives)
        track.add("MUTESOLO", int(is_mute), 0, 0)
        track.add("IPHASE", 0)
        track.add("ISBUS", 1 if step > 0 else 2 if step < 0 else 0, step)
        track.add("NCHAN", 2 * strip.inlets)
        track.add("FX", 1)
        track.add("TRACKID", self.guid("track", index))
        track.block("EXT").add(KEY, _state(strip).encoded())
        for connection in plan.receives:
            if connection.target == index:
                level, side = (1.0, 0.0) if strip.send is None else fader_of(*_factors(strip.send))
                channel = 2 * connection.inlet if strip.send is None else 0
                track.add("AUXRECV", connection.source, 0, level, side, 0, 0, 0, 0, channel, LAW, "0 -1 ''")
        track.add("MAINSEND", int(plan.sends[index]), 0)
        if points:
            self._add_envelope(track, "VOLENV2", points)
        if strip.effects:
            self._add_effects(track.block("FXCHAIN"), strip)
        if strip.entry == "in":
            self._add_item(track, strip)

    def _add_envelope(self, parent: Block, tag: str, points: list[tuple[float, float]]) -> None:
        envelope = parent.block(tag)
        for line in ("ACT 1 -1", "VIS 1 1 1", "LANEHEIGHT 0 0", "ARM 0", "DEFSHAPE 0 -1 -1"):
            envelope.add(line)
        for seconds, factor in points:
            envelope.add("PT", seconds, factor, 0)

    def _add_item(self, track: Block, strip: Strip) -> None:
        assert strip.node is not None
        path, seconds = self.media[strip.node]
        item = track.block("ITEM")
        for line in ("POSITION 0", "SNAPOFFS 0", f"LENGTH {word(seconds)}", "LOOP 0", "ALLTAKES 0"):
            item.add(line)
        for line in ("FADEIN 0 0 0 0 0 0 0", "FADEOUT 0 0 0 0 0 0 0", "MUTE 0 0"):
            item.add(line)
        item.add("IGUID", self.guid("item", strip.node))
        item.add("NAME", quoted(strip.name))
        for line in ("VOLPAN 1 0 1 -1", "SOFFS 0", "PLAYRATE 1 1 0 -1 0 0.0025", "CHANMODE 0"):
            item.add(line)
        item.add("GUID", self.guid("take", strip.node))
        item.block("SOURCE WAVE").add("FILE", quoted(path))

    def _add_effects(self, chain: Block, strip: Strip) -> None:
        for line in ("SHOW 0", "LASTSEL 0", "DOCKED 0"):
            chain.add(line)
        for device in strip.effects:
            effect = EFFECTS[device.kind]
            values = [device.wet if name == "wet" else device.values(name)[k] for name, k in effect.sliders]
            chain.add("BYPASS", 0, 0, 0)
            block = chain.block("JS", quoted(f"{PATH}{device.kind}.jsfx"), quoted(device.name))
            if effect.is_convolution:
                values += self._write_response(device)
            block.add(*(float(value) for value in values), *["-"] * (SLIDERS - len(values)))
            if effect.is_convolution:
                chain.block("JS_SER").content += base64_lines(_settings(device))
            chain.add("FLOATPOS", 0, 0, 0, 0)
            chain.add("FXID", self.guid("effect", device.node, device.outlet))
            chain.block("COMMENT").content += base64_lines(comment_of(device).encode())
            chain.add("WAK", 0, 0)

    def _write_response(self, device: Device) -> list[float]:
        """The file of an effect's response; its number, and how many samples ring before the input."""
        response = response_of([replace(device, wet=1.0)], self.session.sample_rate)
        late = max(0, response.start)
        taps = np.pad(response.taps[[0, 1], [0, 1]], ((0, 0), (late, 0)))
        if taps.shape[1] > MOST_TAPS:
            raise GraphError(
                f"{device.label}: its impulse response has {taps.shape[1]} taps, and an effect in REAPER takes "
                f"{MOST_TAPS}; make its delay shorter."
            )
        self.responses += 1
        path = self.effects / f"response {self.responses}.wav"
        soundfile.write(path, taps.T.astype(np.float32), self.session.sample_rate, "FLOAT")
        return [float(self.responses), float(max(0, -response.start))]


def _without_ending(name: str) -> str:
    """A track's name without the ending of its file."""
    return Path(name).stem if Path(name).suffix.lower() in AUDIO_EXTENSIONS else name


def comment_of(device: Device) -> str:
    """What the comment of an effect says."""
    return f"graphmix node {device.node}: {device.name}"


def _settings(device: Device) -> bytes:
    """What the effect of a convolution serializes: a count, then base rate, outlet, and the values of its node."""
    values = [device.node_type.base_rate, device.outlet, *device.params.tolist()]
    return np.array([len(values), *values], "<f4").tobytes()


def _factors(device: Device) -> tuple[float, float]:
    left, right = (10 ** (gain / 20) for gain in device.values("gain_db"))
    return left, right


def _mixer(strip: Strip) -> tuple[float, float, list[tuple[float, float]]]:
    """Volume and pan of the fader, and the points of the envelope."""
    volume, pan = fader_of(*_factors(strip.gain)) if strip.gain else (1.0, 0.0)
    if strip.ride is None:
        return volume, pan, []
    top, points = envelope_points(used_points(strip.ride.params), strip.ride.wet)
    return volume * top, pan, points


def _state(strip: Strip) -> Track:
    """What a track keeps for the way back."""
    gain, ride = strip.gain, strip.ride
    envelope = None
    if ride is not None:
        points = tuple(used_points(ride.params))
        envelope = Envelope(node=ride.node, name=ride.name, wet=ride.wet, points=points)
    return Track(
        entry=strip.entry,
        node=strip.node,
        name=strip.label,
        fader=None if gain is None else _fader(gain),
        envelope=envelope,
        is_fader_first=gain is not None and strip.levels[0] is gain,
        send=None if strip.send is None else _fader(strip.send),
    )


def _fader(device: Device) -> Fader:
    left, right = device.values("gain_db")
    return Fader(node=device.node, name=device.name, gain_db=(left, right))
