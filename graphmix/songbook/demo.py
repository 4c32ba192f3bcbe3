"""The song of ``graphmix demo``: dry tracks that graphmix synthesizes, mixed through a console kept hidden.

The console does what an engineer would do to these tracks, and only that: about twenty processors. Mining sees the
tracks, the subgroups and the mix; the console is written beside them for comparison afterwards.
"""

import math
import os
import shutil
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graphmix.audio.files import write_audio
from graphmix.errors import SongError
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.storage import save_graph
from graphmix.io import read_json, write_json
from graphmix.processors.delay import NUM_TAPS, MultitapDelay
from graphmix.processors.rack import Rack
from graphmix.processors.reverb import Reverb
from graphmix.render.renderer import Renderer
from graphmix.search.settings import DRAFT
from graphmix.songbook.demo_stems import DEMO_SUBGROUPS, demo_stems

DEMO_RATE = 30000
DEMO_SETTINGS = replace(
    DRAFT,
    master="",  # the demo's console has none
    steps=120,
    rounds=4,
    round_steps=25,
    ramp_steps=70,
    evaluate_every=40,
    trial_segments=0,
    audible_db=0.0,  # the hidden console is found without
    sample_rate=DEMO_RATE,
)
"""A search of about two minutes on two cores."""

Setting = tuple[str, float, dict[str, Any]]
"""Type, dry/wet weight and physical values of a processor."""


def bell_curve(rack: Rack, *bands: tuple[float, float, float]) -> Tensor:
    """Equalizer gains in dB from (frequency in Hz, gain in dB, width in octaves), [bins]."""
    bins = rack["equalizer"].node_type.width
    frequency = torch.arange(bins).clamp(min=1) * (rack.sample_rate / 2 / bins)
    octaves = [(frequency / center).log2() / width for center, _, width in bands]
    return sum(
        (gain * torch.exp(-0.5 * o**2) for o, (_, gain, _) in zip(octaves, bands, strict=True)), torch.zeros(bins)
    )


def hidden_console(sample_rate: int = DEMO_RATE) -> MixGraph:
    """The console that mixes the demo song."""
    rack = Rack.console("ecnsgdr", sample_rate)
    graph = MixGraph(rack.types, sample_rate)
    chains = _track_chains(rack)
    buses = {
        "drums": [graph.add("compressor", threshold_db=-18, ratio=2.5, knee_db=6, time_ms=15)],
        "harmony": [graph.add("equalizer", gain_db=bell_curve(rack, (250, -3, 1.0)).tolist())],
        "lead": [],
    }
    out = graph.add("out", name="mix")
    for bus, tracks in DEMO_SUBGROUPS.items():
        mix = graph.add("mix", name=bus)
        for track in tracks:
            nodes = [graph.add(kind, wet=wet, **settings) for kind, wet, settings in chains[track]]
            graph.chain(graph.add("in", name=track), *nodes, mix)
        graph.chain(mix, *buses[bus], out)
    return graph


def _track_chains(rack: Rack) -> dict[str, list[Setting]]:
    """Type, dry/wet weight and settings of each track's processors, in order."""

    def equalizer(*bands: tuple[float, float, float]) -> Setting:
        return "equalizer", 1.0, {"gain_db": bell_curve(rack, *bands).tolist()}

    def gain(level: float, pan: float = 0.0) -> Setting:
        angle = (pan + 1) * math.pi / 4
        sides = [math.cos(angle) * math.sqrt(2), math.sin(angle) * math.sqrt(2)]
        return "gain", 1.0, {"gain_db": [level + 20 * math.log10(side) for side in sides]}

    return {
        "01_kick.wav": [equalizer((350, -8, 0.6), (4000, 6, 0.8)), gain(-2)],
        "02_snare.wav": [equalizer((5000, 9, 1.0)), gain(4), _reverb(rack, 0.12, 0.4)],
        "03_hats.wav": [equalizer((8000, -7, 0.4)), gain(-11, 0.3)],
        "04_congas.wav": [gain(4, -0.4), _reverb(rack, 0.15, 0.6)],
        "05_bass.wav": [
            ("compressor", 1.0, {"threshold_db": -24.0, "ratio": 4.0, "knee_db": 6.0, "time_ms": 30.0}),
            gain(-1),
        ],
        "06_electric_piano.wav": [equalizer((245, -9, 0.7)), gain(-6, -0.3)],
        "07_pad.wav": [("imager", 1.0, {"side_db": 8.0}), gain(-2), _reverb(rack, 0.25, 1.2)],
        "08_arpeggio.wav": [gain(-6, 0.5), _delay(rack, 0.3)],
        "09_lead.wav": [equalizer((1000, -6, 0.5)), gain(9), _reverb(rack, 0.15, 0.9)],
        "10_pluck.wav": [
            ("noisegate", 1.0, {"threshold_db": -42.0, "ratio": 4.0, "knee_db": 6.0, "time_ms": 20.0}),
            gain(0, -0.5),
        ],
    }


def _reverb(rack: Rack, wet: float, rt60: float) -> Setting:
    """A reverb that grows darker as it decays, the side a little below the mid."""
    processor = rack["reverb"]
    assert isinstance(processor, Reverb), "the console's rack has one"
    darker = torch.linspace(0, 1, processor.bands)
    initial = torch.cat([-12 * darker, -12 * darker - 3]).tolist()
    decay = (-60 / rt60 * (1 + darker)).repeat(2).tolist()
    return "reverb", wet, {"initial_db": initial, "decay_db_per_s": decay}


def _delay(rack: Rack, wet: float) -> Setting:
    """Echoes on the dotted eighth, left and right in turn, each softer; the other taps are silent."""
    processor = rack["delay"]
    assert isinstance(processor, MultitapDelay), "the console's rack has one"
    delay_ms = [100.0 * tap + 50.0 for tap in range(NUM_TAPS)] * 2
    level = [-80.0] * (2 * NUM_TAPS)
    for echo, (channel, tap) in enumerate([(0, 4), (1, 9), (0, 13), (1, 18)]):
        level[channel * NUM_TAPS + tap] = -5.0 * echo
    filters = [gain - 0.4 * k for gain in level for k in range(processor.bins)]
    return "delay", wet, {"delay_ms": delay_ms, "radius": 0.9, "filter_db": filters}


def write_demo_song(folder: Path, seed: int = 0) -> Path:
    """Write dry tracks, mix, ``song.json`` and ``hidden_console.json``, unless the song is there already.

    Raises:
        SongError: the folder holds another song, or cannot be written.
    """
    description = folder / "song.json"
    if description.exists():
        _check_seed(description, seed)
        return folder
    _check_free(folder)
    part = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.part")
    try:
        (part / "dry").mkdir(parents=True)
        _write_song(part, seed)
        os.rename(part, folder)
    except OSError as error:
        raise SongError(f"cannot write to {folder}: {error.strerror or error}. Choose another --out.") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def _check_free(folder: Path) -> None:
    """Refuse a folder with files, which are not the demo's: its song is there as a whole or not at all."""
    try:
        is_taken = folder.is_dir() and any(folder.iterdir())
    except OSError as error:
        raise SongError(f"cannot write to {folder}: {error.strerror or error}. Choose another --out.") from None
    if is_taken:
        raise SongError(f"{folder} holds something else than the demo song. Choose another --out.")


def _write_song(folder: Path, seed: int) -> None:
    """Write the files of the demo song into a folder that has an empty ``dry``."""
    stems = {name: torch.from_numpy(audio) for name, audio in demo_stems(DEMO_RATE, seed).items()}
    graph = hidden_console()
    sources = torch.stack([stems[name] for name in graph.input_names])
    with torch.no_grad():
        mix = Renderer(Rack.for_types(graph.types.types, DEMO_RATE))(graph, sources)[0]
    for name, audio in stems.items():
        write_audio(folder / "dry" / name, audio, DEMO_RATE)
    write_audio(folder / "mix.wav", mix, DEMO_RATE)
    save_graph(graph, folder / "hidden_console.json")
    song = {"name": "demo", "mix": "mix.wav", "stems": "dry", "subgroups": DEMO_SUBGROUPS, "seed": seed}
    write_json(folder / "song.json", song)


def _check_seed(description: Path, seed: int) -> None:
    """Is this the demo song of that seed?"""
    try:
        found = read_json(description)
        theirs = found["seed"] if found["name"] == "demo" else None
    except (OSError, ValueError, KeyError, TypeError):
        theirs = None
    if theirs is None:
        raise SongError(f"{description.parent} holds something else than the demo song. Choose another --out.")
    if theirs != seed:
        raise SongError(f"{description.parent} holds the demo song of seed {theirs}, not {seed}. Choose another --out.")
