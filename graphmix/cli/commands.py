"""What the commands do, apart from parsing: call the package and print."""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from graphmix.cli.check_command import graph_file
from graphmix.cli.progress import ProgressListener
from graphmix.errors import GraphmixError
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.storage import load_graph


def _console() -> Console:
    return Console(highlight=False)


def run_mine(
    song: Path,
    out: Path,
    preset: str,
    steps: int | None,
    rounds: int | None,
    device: str,
    changes: dict[str, Any],
    start: str = "levels",
    mix: Path | None = None,
    offset: str | None = None,
) -> None:
    """``graphmix mine``; `mix` and `offset` are those of the song in place of its own."""
    from graphmix.audio.song import load_song
    from graphmix.processors.rack import Rack
    from graphmix.search import PRESETS, mine
    from graphmix.search.mine_song import USUAL_START

    settings = replace(PRESETS[preset], **changes).scaled(steps, rounds)
    Rack.console(settings.chain or "g", settings.sample_rate)  # a wrong letter is cheaper to hear of first
    begin = None
    if start != USUAL_START:
        from graphmix.training.estimator_start import parse_start

        begin = parse_start(start)
    console = _console()
    loaded = load_song(song, settings.sample_rate, mix=mix, offset=offset)
    for notice in loaded.notices:
        console.print(f"note: {notice}", markup=False, soft_wrap=True)
    with ProgressListener(console) as listener:
        mined = mine(loaded, out, settings, device=device, listener=listener, start=begin)
    if mined.already_done:
        console.print(f"{out} is finished already; nothing to do.", markup=False, soft_wrap=True)
    console.print(_summary(mined.metrics))
    console.print(f"graph, mix, pictures, metrics: {mined.folder}/", markup=False, soft_wrap=True)


def _summary(metrics: dict[str, Any]) -> Table:
    table = Table(title=Text(metrics["song"]), show_header=True, title_justify="left")
    table.add_column("")
    table.add_column("audio loss L_a", justify="right")
    table.add_column("processors", justify="right")
    for name, loss in metrics["baselines"].items():
        table.add_row(name, f"{loss:.4f}", "")
    table.add_row("full console", f"{metrics['console_loss']:.4f}", str(metrics["processors_before"]))
    table.add_row("mined graph", f"{metrics['audio_loss']:.4f}", str(metrics["processors_left"]))
    ratios = [f"{name} {ratio:.2f}" for name, ratio in metrics["pruning_ratio"].items() if name != "all"]
    table.caption = (
        f"pruning ratio {metrics['pruning_ratio']['all']:.2f} ({', '.join(ratios)}); "
        f"SI-SDR {_si_sdr(metrics)}; {sum(metrics['seconds'].values()):.0f} s"
    )
    return table


def _si_sdr(metrics: dict[str, Any]) -> str:
    if metrics["si_sdr_db"] is not None:
        return f"{metrics['si_sdr_db']:.1f} dB"
    exact = metrics.get("exact_match", metrics["audio_loss"] < 1e-3)  # older versions did not write it
    return "infinite (an exact match)" if exact else "minus infinity (no match: one of the two is silent)"


def _check_output(path: Path, endings: tuple[str, ...]) -> None:
    """Can a file of that name be written? Better asked before the work than after."""
    if path.suffix.lower() not in endings:
        raise GraphmixError(f"{path}: the output file ends in one of {', '.join(endings)}, not in {path.suffix!r}.")
    if not path.absolute().parent.is_dir():
        raise GraphmixError(f"{path}: there is no folder {path.absolute().parent}; make it first.")


def run_render(graph_path: Path, stems: Path, output: Path) -> None:
    """``graphmix render``."""
    from graphmix.audio import load_stems, write_audio
    from graphmix.render.blocks import render_song

    _check_output(output, (".wav", ".flac", ".ogg"))
    graph = load_graph(graph_file(graph_path))
    song = load_stems(stems, graph.sample_rate)
    console = _console()
    for notice in song.notices:
        console.print(f"note: {notice}", markup=False, soft_wrap=True)
    started = time.perf_counter()
    # Stems alone do not say how long their effects ring on; the song from which the graph was mined does.
    length = song.num_samples if song.mix else max(song.num_samples, int(graph.provenance.get("num_samples", 0)))
    mix = render_song(graph, song, num_samples=length)
    write_audio(output, mix, graph.sample_rate)
    seconds = mix.size(1) / graph.sample_rate
    console.print(
        f"{output}: {seconds:.1f} s at {graph.sample_rate} Hz, peak {float(mix.abs().max()):.3f}, "
        f"rendered in {time.perf_counter() - started:.1f} s",
        markup=False,
        soft_wrap=True,
    )


def run_plot(graph_path: Path, output: Path) -> None:
    """``graphmix plot``."""
    from graphmix import plots

    _check_output(output, (".svg", ".png", ".pdf"))
    graph = load_graph(graph_file(graph_path))
    plots.save(plots.plot_graph(graph, graph.provenance.get("song")), output)
    _console().print(f"{output}: {graph.num_nodes} nodes, {graph.num_edges} edges", markup=False, soft_wrap=True)


def run_show(graph_path: Path) -> None:
    """``graphmix show``."""
    from graphmix.graph.tables import as_table

    graph = load_graph(graph_file(graph_path))
    console = _console()
    for line in headline(graph):
        console.print(line, markup=False, soft_wrap=True)
    console.print(as_table(graph))


def headline(graph: MixGraph) -> list[str]:
    """Lines that say what a graph is: its nodes by type, its rate, its provenance."""
    counts = {t.name: int(graph.nodes_of(t.name).numel()) for t in graph.types.types}
    used = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    lines = [f"{graph.num_nodes} nodes ({used}), {graph.num_edges} edges, {graph.sample_rate} Hz"]
    if graph.provenance:
        known = {k: v for k, v in graph.provenance.items() if not isinstance(v, dict)}
        lines.append(", ".join(f"{key} {value}" for key, value in known.items()))
    return lines


def run_demo(out: Path, seed: int) -> None:
    """``graphmix demo``."""
    from graphmix.search import mine
    from graphmix.songbook.demo import DEMO_SETTINGS, write_demo_song

    settings = replace(DEMO_SETTINGS, seed=seed)
    console = _console()
    song = write_demo_song(out / "song", seed)
    console.print(
        f"song: 10 tracks in 3 subgroups, 12 s, mixed through a hidden console: {song}/", markup=False, soft_wrap=True
    )
    with ProgressListener(console) as listener:
        mined = mine(song, out / "mined", settings, listener=listener)
    for line in _in_words(mined.metrics, out, mined.already_done):
        console.print(line, markup=False, soft_wrap=True)


def _in_words(metrics: dict[str, Any], out: Path, already_done: bool) -> list[str]:
    plain = metrics["baselines"]["plain sum"]
    seconds = sum(metrics["seconds"].values())
    hidden = json.loads((out / "song" / "hidden_console.json").read_text())
    true_count = sum(1 for node in hidden["nodes"] if node["type"] not in ("in", "mix", "out"))
    return [
        "Already mined." if already_done else f"Mined in {seconds:.0f} s.",
        f"The plain sum of the dry tracks is off by L_a = {plain:.3f}.",
        f"The full console of {metrics['processors_before']} processors comes to {metrics['console_loss']:.3f}.",
        f"The pruned graph needs {metrics['processors_left']} of them and comes to {metrics['audio_loss']:.3f} "
        f"(the hidden console has {true_count}).",
        f"Hear it:  {out}/mined/mix.wav   beside {out}/song/mix.wav",
        f"See it:   {out}/mined/plots/graph.png, spectrograms.png, pruning.png",
        f"Read it:  graphmix show {out}/mined/graph.safetensors",
    ]
