"""``graphmix mine``: mine one song, show the progress and a summary."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from graphmix.cli.compiling import announcing_compilation
from graphmix.cli.effects import load_effects
from graphmix.cli.progress import ProgressListener
from graphmix.cli.report_command import report_at_end
from graphmix.cli.terminal import new_console, say, say_notices

LARGE_SHARE = 10.0
"""Percent of a mix's energy that compression and reverb alone rarely leave unexplained."""


@announcing_compilation()
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
    plots: bool = True,
    effects: Sequence[str] = (),
    *,
    residual: bool = False,
    separator: tuple[str, int] | None = None,
    look_for: dict[str, Any] | None = None,
    full_band: bool = True,
    memory: str | None = None,
    report: bool = True,
) -> None:
    """``graphmix mine``.

    Args:
        song: its folder.
        out: output folder; an unfinished run in it is resumed.
        preset: name of the settings to begin with.
        steps: training steps of the full console, instead of the preset's.
        rounds: pruning rounds, instead of the preset's.
        device: where to compute.
        changes: settings that differ from the preset's.
        start: ``levels`` or ``estimator[:MODEL]``.
        mix: mix file, instead of the song's own.
        offset: how far the mix lies behind the tracks, instead of the song's own.
        plots: draw pictures.
        effects: captured effects, each as ``letter=FILE``.
        residual: add what the tracks do not explain as one more track.
        separator: where the song is a mix, the separator that makes its tracks, and iterations of the Wiener filter.
        look_for: other arguments of :func:`graphmix.search.mine`: alignment, rides, ducking, sends.
        full_band: bring the result to the rate of the song's mix.
        memory: what may be kept, with its unit; by default as much as is free.
        report: write a page to listen on.

    Raises:
        GraphmixError: bad input.
    """
    from graphmix.audio.song import load_song
    from graphmix.io import existing_folder
    from graphmix.memory import free_bytes, parse_memory, say_memory, usual_memory
    from graphmix.search import PRESETS, mine
    from graphmix.search.mine_song import console_rack
    from graphmix.search.mined import USUAL_START

    free = free_bytes()
    budget = usual_memory(free) if memory is None else parse_memory(memory)
    settings = replace(PRESETS[preset], **changes).scaled(steps, rounds)
    captured = load_effects(effects, settings.sample_rate)
    console_rack(settings, captured)  # a wrong letter is reported before files
    begin = None
    if start != USUAL_START:
        from graphmix.training.estimator_start import parse_start

        begin = parse_start(start)
    console = new_console()
    if separator is not None:
        song = _separated(console, song, out, separator, device, (mix, offset))
    loaded = load_song(
        song,
        settings.sample_rate,
        mix=mix,
        offset=offset,
        preload_bytes=budget.song,
        store_in=existing_folder(out),
    )
    say_notices(console, loaded.notices)
    say(console, say_memory(budget, free, loaded.stored_bytes))
    with ProgressListener(console) as listener:
        options: dict[str, Any] = {"device": device, "start": begin, "plots": plots, "effects": captured}
        options |= {"residual": residual, "full_band": full_band, "memory": budget, **(look_for or {})}
        mined = mine(loaded, out, settings, listener=listener, **options)
    if mined.already_done:
        say(console, f"{out} is finished already; nothing to do.")
    for sentence in (*aligned(mined.metrics), *ridden(mined.metrics), *brought_to_rate(mined.metrics)):
        say(console, sentence)
    console.print(summary(mined.metrics))
    for sentence in (*ended_early(mined.metrics), *moved(mined.metrics), *sampled(mined.metrics)):
        say(console, sentence)
    say(console, explained(mined.metrics))
    say(console, f"graph, mix, {'pictures, ' if plots else ''}metrics: {mined.folder}/")
    report_at_end(console, mined.folder, captured, wanted=report)


def _separated(
    console: Console,
    mix: Path,
    out: Path,
    separator: tuple[str, int],
    device: str,
    target: tuple[Path | None, str | None],
) -> Path:
    """The folder of a mix's stems, inside of the output folder; another mix, the target, and its offset help."""
    from graphmix.audio.files import read_info
    from graphmix.audio.offset import parse_offset
    from graphmix.audio.song_places import SEPARATED
    from graphmix.errors import RunError
    from graphmix.runs import RUN
    from graphmix.search.mine_song import run_folder
    from graphmix.separation import separate

    model, iterations = separator
    if (out / RUN).exists() and not (out / SEPARATED).exists():
        raise RunError(f"output folder {out} holds another run. Choose another --out.")
    if not (out / RUN).exists():
        run_folder(out, {}).status()  # refuses a folder that holds something else
    other, late = target[0], 0.0
    if other is not None and target[1] is not None:
        given, rate = parse_offset(target[1], "the offset"), read_info(other).sample_rate
        late = given.at(rate, rate) / rate
    with ProgressListener(console) as listener:
        made = separate(
            mix, out / SEPARATED, model, iterations=iterations, other=other, offset_seconds=late, device=device,
            listener=listener,
        )  # fmt: skip
    say_notices(console, made.about["notices"])
    shares = ", ".join(f"{name} {100 * stem['share_of_energy']:.0f} %" for name, stem in made.about["stems"].items())
    say(console, f"separated into {shares} of the mix's energy: {made.folder}/")
    return made.folder


def explained(metrics: dict[str, Any]) -> str:
    """How much of the mix its tracks explain, in a sentence or two."""
    found = metrics.get("unexplained")
    if found is None:  # of an earlier version
        return "how much of the mix the tracks explain was not measured"
    share = 100 * found["share_of_energy"]
    text = f"{share:.1f} % of the mix's energy ({found['level_db']:.1f} dB) is not made of the tracks by filtering"
    if found["is_track"]:
        return f"{text}: it is the track residual.wav."
    advice = "; a track may be missing: --residual adds the rest as a track" if share >= LARGE_SHARE else ""
    return f"{text}{advice}."


def aligned(metrics: dict[str, Any]) -> list[str]:
    """What was found about where mix and tracks lie, in sentences."""
    from graphmix.audio.alignment import describe_drift

    found = metrics.get("alignment")
    if found is None:
        return []
    sentences = []
    if found["mix_delay_ms"]:
        sentences.append(f"The mix is {_lag(found['mix_delay_ms'])} the tracks; the graph delays it by as much.")
    for name, track in found["tracks"].items():
        parts = [f"{_lag(track['delay_ms'])} the others"] if track["delay_ms"] else []
        parts += ["inverted"] if track["inverted"] else []
        sentences.append(f"{name} is {' and '.join(parts)} in the mix.")
    if found.get("drift_ppm"):
        sentences.append(f"warning: {describe_drift(found['drift_ppm'])}.")
    return sentences


def ridden(metrics: dict[str, Any]) -> list[str]:
    """Which gains move, in sentences."""
    return [
        f"{ride['of']} rides: " + ", ".join(f"{gain:+.1f} dB at {time:.2f} s" for time, gain in ride["points"]) + "."
        for ride in metrics.get("rides", [])
    ]


def brought_to_rate(metrics: dict[str, Any]) -> list[str]:
    """At which rate the result is, and what was done above the search's band, in a sentence."""
    found = metrics.get("full_band")
    if found is None:
        return []
    text = f"Searched at {found['searched_at']} Hz; graph and mix are at the song's {found['sample_rate']} Hz"
    return [f"{text}{', with an equalizer more for the top octave' if found['filter_added'] else ''}."]


def ended_early(metrics: dict[str, Any]) -> list[str]:
    """That the search ended when its minutes were over, in a sentence."""
    found = metrics.get("stopped")
    if found is None:
        return []
    return [f"Stopped after {found['minutes']:g} minutes, in {found['where']}: this is the graph as it was by then."]


def moved(metrics: dict[str, Any]) -> list[str]:
    """How many moves were tried and stand, and how many relaxed chains, in a sentence each."""
    sentences = []
    if found := metrics.get("relaxed"):
        sentences.append(f"{found['kept']} of {found['runs']} relaxed chains stand.")
    if found := metrics.get("moves"):
        sentences.append(f"{found['kept']} of {found['tried']} moves stand.")
    return sentences


def sampled(metrics: dict[str, Any]) -> list[str]:
    """On how much of a long song the search evaluated losses, and what that leaves open, in a sentence."""
    found = metrics.get("sampled")
    if found is None:
        return []
    within = found["console_loss_within"]
    open_still = "is an estimate" if within is None else f"is known to ±{within:.4f} (95 %)"
    return [
        f"Searched on {found['segments']} of the song's {found['of']} segments. The loss of the mined graph is that "
        f"of the whole song; that of the full console {open_still}."
    ]


def _lag(ms: float) -> str:
    amount = f"{abs(ms) / 1000:.4f} s" if abs(ms) >= 1000 else f"{abs(ms):.2f} ms"
    return f"{amount} {'behind' if ms > 0 else 'ahead of'}"


def summary(metrics: dict[str, Any]) -> Table:
    """The losses and the numbers of processors of a mined song."""
    table = Table(title=Text(metrics["song"]), show_header=True, title_justify="left")
    table.add_column("")
    table.add_column("audio loss L_a", justify="right")
    table.add_column("processors", justify="right")
    for name, loss in metrics["baselines"].items():
        table.add_row(name, f"{loss:.4f}", "")
    table.add_row("full console", f"{metrics['console_loss']:.4f}", str(metrics["processors_before"]))
    table.add_row("mined graph", f"{metrics['audio_loss']:.4f}", str(metrics["processors_left"]))
    ratios = [f"{name} {ratio:.2f}" for name, ratio in metrics["pruning_ratio"].items() if name != "all"]
    minimised = metrics.get("objective")
    table.caption = (
        f"{_minimised(minimised)}pruning ratio {metrics['pruning_ratio']['all']:.2f} ({', '.join(ratios)}); "
        f"SI-SDR {si_sdr(metrics)}; {sum(metrics['seconds'].values()):.0f} s"
    )
    return table


def _minimised(objective: dict[str, Any] | None) -> str:
    """What was minimised, where that is not L_a, with its parts."""
    if objective is None:
        return ""
    parts = ", ".join(f"{name} {value:.4f}" for name, value in objective["parts"].items())
    return f"minimised: {objective['name']} {objective['loss']:.4f} ({parts}); "


def si_sdr(metrics: dict[str, Any]) -> str:
    """The ratio of signal to distortion as text; None stands for an infinite one."""
    if metrics["si_sdr_db"] is not None:
        return f"{metrics['si_sdr_db']:.1f} dB"
    exact = metrics.get("exact_match", metrics["audio_loss"] < 1e-3)  # older versions did not write it
    return "infinite (an exact match)" if exact else "minus infinity (no match: one of the two is silent)"
