"""``graphmix mine``: mine one song, show the progress and a summary."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from graphmix.cli.compiling import announcing_compilation
from graphmix.cli.effects import load_effects
from graphmix.cli.progress import ProgressListener
from graphmix.cli.terminal import new_console, say, say_notices


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

    Raises:
        GraphmixError: bad input.
    """
    from graphmix.audio.song import load_song
    from graphmix.search import PRESETS, mine
    from graphmix.search.mine_song import USUAL_START, console_rack

    settings = replace(PRESETS[preset], **changes).scaled(steps, rounds)
    captured = load_effects(effects, settings.sample_rate)
    console_rack(settings, captured)  # a wrong letter is reported before files
    begin = None
    if start != USUAL_START:
        from graphmix.training.estimator_start import parse_start

        begin = parse_start(start)
    console = new_console()
    loaded = load_song(song, settings.sample_rate, mix=mix, offset=offset)
    say_notices(console, loaded.notices)
    with ProgressListener(console) as listener:
        options: dict[str, Any] = {"device": device, "start": begin, "plots": plots, "effects": captured}
        mined = mine(loaded, out, settings, listener=listener, **options)
    if mined.already_done:
        say(console, f"{out} is finished already; nothing to do.")
    console.print(summary(mined.metrics))
    say(console, f"graph, mix, {'pictures, ' if plots else ''}metrics: {mined.folder}/")


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
    table.caption = (
        f"pruning ratio {metrics['pruning_ratio']['all']:.2f} ({', '.join(ratios)}); "
        f"SI-SDR {si_sdr(metrics)}; {sum(metrics['seconds'].values()):.0f} s"
    )
    return table


def si_sdr(metrics: dict[str, Any]) -> str:
    """The ratio of signal to distortion as text; None stands for an infinite one."""
    if metrics["si_sdr_db"] is not None:
        return f"{metrics['si_sdr_db']:.1f} dB"
    exact = metrics.get("exact_match", metrics["audio_loss"] < 1e-3)  # older versions did not write it
    return "infinite (an exact match)" if exact else "minus infinity (no match: one of the two is silent)"
