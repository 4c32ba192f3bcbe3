"""The page of a programmed synthesizer: the sound, what its patch makes of it, and the patch."""

from pathlib import Path
from typing import Any

import torch

from graphmix.audio.files import read_audio
from graphmix.errors import GraphmixError
from graphmix.graph.storage import load_graph
from graphmix.io import read_json
from graphmix.processors.rack import Rack
from graphmix.progress import Listener
from graphmix.render.renderer import Renderer
from graphmix.render.taps import Tap, TapReader
from graphmix.report.chart import Axis, Chart, Series
from graphmix.report.drawing import draw
from graphmix.report.error_map import level_maps
from graphmix.report.nodes import Parts, describe_nodes
from graphmix.report.page import Content, GraphPart, Limits, NodePart, Table, Version
from graphmix.report.sound import Sound, prepare
from graphmix.synthesizers.notes import Note
from graphmix.synthesizers.program_run import PATCH
from graphmix.synthesizers.sounds import load_sound


def describe_programmed(folder: Path, limits: Limits, listener: Listener, *, sound: Path | None = None) -> Content:
    """What the page of a programmed synthesizer shows.

    Args:
        folder: of the run.
        limits: of the page.
        listener: shown the progress.
        sound: the file, if it is not where it was.

    Raises:
        GraphmixError: files that are missing or damaged.
    """
    listener.phase("report: playing the patch", None)
    metrics = read_json(folder / "metrics.json")
    graph, notices = load_graph(folder / PATCH), [str(notice) for notice in metrics.get("notices", [])]
    rate = graph.sample_rate
    match = read_audio(folder / "match.wav", sample_rate=rate)
    seconds = match.size(1) / rate
    versions = [Version("patch", prepare(match, rate), f"{metrics['synthesizer']} synthesizer")]
    try:
        target = _target(metrics, rate, sound)
        versions.insert(0, Version("sound", prepare(target.expand(2, -1), rate), "to be imitated"))
    except GraphmixError as error:
        notices.append(f"Without the sound that was imitated: {error}")
    parts = _parts(folder, match.size(1))
    return Content(
        title=Path(str(metrics.get("source", folder.name))).name,
        kind="programmed",
        lead=f"The {metrics['synthesizer']} synthesizer comes within {metrics['distance_db']:.2f} dB of the sound "
        f"(mean log-spectral distance); the first proposal was {metrics['proposed_db']:.2f} dB away.",
        facts=_facts(metrics),
        versions=versions,
        song_seconds=seconds,
        pieces=parts.pieces,
        graph=GraphPart(draw(graph), parts.nodes, f"The patch: {graph.num_nodes} nodes"),
        maps=level_maps([v.sound for v in versions]) if len(versions) > 1 else None,
        charts=_curve(metrics),
        tables=[_by_synthesizer(metrics)],
        notices=notices,
    )


def _target(metrics: dict[str, Any], rate: int, given: Path | None) -> torch.Tensor:
    """The sound as it was imitated, [samples]: what is before its beginning was cut off."""
    path = given or metrics.get("source")
    if path is None:
        raise GraphmixError("the run does not say which file it was; give it with --song.")
    notes = [Note(**note) for note in metrics.get("notes", [])]
    several = notes if len(notes) > 1 else None
    pitch, length = (None, None) if several else (metrics["pitch"], metrics["length_ms"])
    return load_sound(path, rate, pitch, length, several).audio


@torch.no_grad()
def _parts(folder: Path, samples: int) -> Parts:
    """The nodes with their settings, and what leaves each while the patch plays."""
    graph = load_graph(folder / PATCH)
    renderer = Renderer(Rack.generators(graph.sample_rate))
    plan = renderer.plan(graph)
    taps = [Tap(v) for v in range(graph.node_type.numel())]
    reader = TapReader(plan, taps, samples)
    renderer.run(plan, graph, torch.zeros(0, 2, samples), observe=reader)
    described = describe_nodes(graph, None, renderer.rack, None, 0.0, samples / graph.sample_rate)
    pieces: dict[str, Sound] = {}
    nodes = list[NodePart]()
    for node in described.nodes:
        signal = reader.signals.get(Tap(node.node))
        key = f"out-{node.node}"
        if signal is not None and bool(signal.isfinite().all()):
            pieces[key] = prepare(signal, graph.sample_rate)
        nodes.append(_with_sound(node, key if key in pieces else None))
    return Parts(nodes, [], pieces)


def _with_sound(node: NodePart, key: str | None) -> NodePart:
    from dataclasses import replace

    return replace(node, after=key)


def _facts(metrics: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        ("synthesizer", str(metrics["synthesizer"])),
        ("MIDI note", f"{metrics['pitch']:.2f}"),
        ("key down", f"{metrics['length_ms']:.0f} ms"),
        ("notes", str(len(metrics.get("notes", [])) or 1)),
        ("length", f"{metrics['seconds']:.2f} s"),
        ("modules", str(len(metrics.get("modules", [])))),
    ]


def _by_synthesizer(metrics: dict[str, Any]) -> Table:
    order = sorted(metrics["by_synthesizer"].items(), key=lambda entry: entry[1])
    return Table("Synthesizers tried", ("synthesizer", "distance / dB"), [[n, f"{d:.2f}"] for n, d in order])


def _curve(metrics: dict[str, Any]) -> list[Chart]:
    """The distance over the steps of the refinement."""
    points = [(float(e[0]), float(e[-1])) for e in metrics.get("history", []) if len(e) > 1 and e[-1] is not None]
    if len(points) < 2:
        return []
    values = [y for _, y in points]
    low, high = min(values), max(values)
    room = max(0.1, 0.1 * (high - low))
    words = f"From {values[0]:.2f} to {low:.2f} dB in {int(points[-1][0])} steps."
    return [
        Chart("Refinement", Axis("step", 0, max(1.0, points[-1][0])), Axis("distance / dB", low - room, high + room),
              [Series("distance", points)], words)
    ]  # fmt: skip
