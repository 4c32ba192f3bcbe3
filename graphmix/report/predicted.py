"""The page of a predicted mix: what a model made of dry tracks, beside baselines and, where there is one, the mix."""

from pathlib import Path
from typing import Any

from torch import Tensor

from graphmix.audio.files import read_audio
from graphmix.audio.song import Song
from graphmix.errors import GraphmixError, SongError
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.storage import load_graph
from graphmix.io import read_json
from graphmix.processors.rack import Rack
from graphmix.progress import Listener
from graphmix.report.drawing import draw
from graphmix.report.error_map import level_maps
from graphmix.report.losses import measure_losses
from graphmix.report.nodes import describe_nodes, piece_count
from graphmix.report.page import Content, GraphPart, Limits, Version, clock
from graphmix.report.songs import find_song
from graphmix.report.sound import prepare
from graphmix.report.stretches import Stretch, choose_stretch
from graphmix.report.windows import survey
from graphmix.training.checkpoint import load_estimator
from graphmix.training.proposal import propose

BASELINE = "loudness_sum"
"""Model whose mix is the baseline beside the plain sum: tracks at equal loudness."""
_MIX = "model's mix"

Sounds = list[tuple[str, Tensor, int, str]]


def describe_predicted(folder: Path, limits: Limits, listener: Listener, *, song: Path | None = None) -> Content:
    """What the page of a predicted mix shows.

    Args:
        folder: of the prediction.
        limits: of the page.
        listener: shown the progress.
        song: folder of the tracks, if their files are not where they were.

    Raises:
        GraphmixError: files that are missing or damaged.
    """
    metrics = read_json(folder / "metrics.json")
    mix, rate = read_audio(folder / "mix.wav"), _rate_of(folder)
    path = folder / "graph.safetensors"
    graph = load_graph(path) if path.is_file() else None
    notices = [str(notice) for notice in metrics.get("notices", [])]
    seconds = mix.size(1) / rate
    listener.phase("report: reading the tracks", None)
    found = _song(folder, metrics, rate, song, notices)
    count = 0 if graph is None or found is None else piece_count(graph)
    stretch = choose_stretch(mix, rate, limits.stretch(4, count, seconds))
    listener.phase("report: rendering", None)
    audio = _audio(mix, rate, found, stretch, notices)
    versions = [Version(name, prepare(a, own, stretch.start), note) for name, a, own, note in audio]
    part, parts = None, None
    if graph is not None:
        parts = _parts(graph, found, limits, count, seconds, notices)
        part = GraphPart(draw(graph), parts.nodes, f"{graph.num_nodes} nodes, {graph.num_edges} connections")
    losses = None
    if audio[0][0] == "song's mix":
        losses = measure_losses(audio[0][1], [a[:3] for a in audio[1:]], rate, rate, stretch.start)
    return Content(
        title=str(metrics["song"]),
        kind="predicted",
        lead=f"The model “{_name(metrics)}” mixed {metrics['tracks']} dry tracks.",
        facts=_facts(metrics, seconds, rate),
        versions=versions,
        song_seconds=seconds,
        pieces={} if parts is None else parts.pieces,
        tracks=[] if parts is None else parts.tracks,
        graph=part,
        maps=level_maps([v.sound for v in versions]) if len(versions) > 1 else None,
        has_target=audio[0][0] != _MIX,
        losses=losses,
        notices=notices,
    )


def _rate_of(folder: Path) -> int:
    from graphmix.audio.files import read_info

    return read_info(folder / "mix.wav").sample_rate


def _song(folder: Path, metrics: dict[str, Any], rate: int, given: Path | None, notices: list[str]) -> Song | None:
    try:
        return find_song(folder, metrics, rate, given, ())
    except SongError as error:
        notices.append(f"Without the tracks, and so only with the model's mix: {error}")
        return None


def _audio(mix: Tensor, rate: int, song: Song | None, stretch: Stretch, notices: list[str]) -> Sounds:
    """Name, audio, rate and note of each version; the reference first."""
    begin, count = stretch.samples(rate)
    found: Sounds = [(_MIX, stretch.cut(mix, rate), rate, "the graph below")]
    if song is None:
        return found
    if song.mix is not None:
        found.insert(0, ("song's mix", song.read_mix(begin, count), rate, "as it was released"))
    found.append(("plain sum", song.read(begin, count).stems.sum(0), rate, "the dry tracks, added up"))
    try:
        model = load_estimator(BASELINE)
        levelled = propose(model, song.at_rate(model.sample_rate)).mix
        own = stretch.cut(levelled, model.sample_rate)
        found.append(("equal loudness", own, model.sample_rate, "each track turned to one loudness"))
    except GraphmixError as error:
        notices.append(f"Without the baseline of equal loudness: {error}")
    return found


def _parts(graph: MixGraph, song: Song | None, limits: Limits, count: int, seconds: float, notices: list[str]) -> Any:
    rack: Rack | None = None
    try:
        rack = Rack.for_types(graph.types.types, graph.sample_rate)
    except GraphmixError as error:
        notices.append(f"Without the sounds of nodes: {error}")
    energies = None if song is None else survey(song).energies
    length, _ = limits.pieces(max(1, count))
    return describe_nodes(graph, song, rack, energies, min(length, seconds), seconds)


def _name(metrics: dict[str, Any]) -> str:
    """Of the model, without the folders that it lies in."""
    return Path(str(metrics["model"])).name


def _facts(metrics: dict[str, Any], seconds: float, rate: int) -> list[tuple[str, str]]:
    facts = [
        ("model", _name(metrics)),
        ("length", clock(seconds)),
        ("tracks", str(metrics["tracks"])),
        ("processors", "no graph" if metrics["processors"] is None else str(metrics["processors"])),
        ("sample rate", f"{rate / 1000:g} kHz"),
    ]
    against = metrics.get("against_mix", {})
    if "audio_loss" in against:
        facts.append(("audio loss against the song's mix", f"{against['audio_loss']:.4f}"))
    return facts
