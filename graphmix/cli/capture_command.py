"""``graphmix capture``: a model of a device from recordings of it."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from graphmix.cli.app import Report, app
from graphmix.cli.compiling import announcing_compilation
from graphmix.cli.progress import ProgressListener
from graphmix.cli.report_command import report_at_end
from graphmix.cli.terminal import new_console, say
from graphmix.errors import GraphmixError

if TYPE_CHECKING:
    from graphmix.capture import Pair

MODELS = ("auto", "lstm", "gru", "tcn", "wavenet", "feedback", "grey_box", "multiband", "linear")


@app.command(epilog="Example: graphmix capture dry.wav wet.wav --out amp --model wavenet")
def capture(
    dry: Annotated[Path | None, typer.Argument(help="What was played into the device.")] = None,
    wet: Annotated[Path | None, typer.Argument(help="What came out of it.")] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Output folder; resumed if unfinished.")] = None,
    signal: Annotated[Path | None, typer.Option(help="Write the test signal to this file, and end.")] = None,
    model: Annotated[str, typer.Option(help=f"Network: {', '.join(MODELS)}.")] = "auto",
    preset: Annotated[str, typer.Option(help="draft: ten minutes; full: hours.")] = "draft",
    control: Annotated[
        list[str] | None, typer.Option(help="Setting of a control in this recording, name=value; may be repeated.")
    ] = None,
    pair: Annotated[
        list[str] | None,
        typer.Option(help="Another recording: dry.wav,wet.wav,drive=3,tone=0.5; may be repeated."),
    ] = None,
    minutes: Annotated[float | None, typer.Option(min=0.01, help="Training time at most.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps at most.")] = None,
    latency: Annotated[int | None, typer.Option(help="Samples by which wet lies behind dry; else measured.")] = None,
    channel: Annotated[
        int | None, typer.Option(min=1, max=2, help="The one that is learned of stereo recordings; else both.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of the device, for the .nam file.")] = None,
    gear_type: Annotated[str | None, typer.Option(help="amp, pedal, preamp, studio, …, for the .nam file.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random choice.")] = 0,
    sample_rate: Annotated[int, typer.Option(min=22050, help="Of the test signal, in Hz.")] = 48000,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that --signal names.")] = False,
    report: Report = True,
) -> None:
    """Capture a device: its recordings in, a model of it out, as a node type and as a file for plugins."""
    if signal is not None:
        _write_signal(signal, sample_rate, force)
        return
    if (dry is None) != (wet is None) or (control and wet is None):
        raise GraphmixError("a recording is a dry and a wet file; --control is a setting of it.")
    pairs = [_described(str(dry), str(wet), control or [])] if dry and wet else []
    pairs += [_pair(text) for text in pair or []]
    if not pairs or out is None:
        raise GraphmixError("capture needs a dry file, a wet file and --out FOLDER; --signal FILE writes a signal.")
    gear = {key: value for key, value in (("name", name), ("gear_type", gear_type)) if value is not None}
    changes = {"minutes": minutes, "steps": steps}
    given = {key: value for key, value in changes.items() if value is not None} | {"seed": seed}
    _run(pairs, out, model, preset, given, gear, {"latency": latency, "channel": channel}, report=report)


def _pair(text: str) -> "Pair":
    dry, _, rest = text.partition(",")
    wet, *settings = rest.split(",")
    if not dry.strip() or not wet.strip() or "=" in dry + wet:
        raise GraphmixError(f"a recording is given as dry.wav,wet.wav,control=value, not as {text!r}.")
    return _described(dry.strip(), wet.strip(), settings)


def _described(dry: str, wet: str, settings: Sequence[str]) -> "Pair":
    """A recording with the settings of the device's controls, each as ``name=value``."""
    from graphmix.capture import Pair

    controls = dict[str, float]()
    for text in settings:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not key:
            raise GraphmixError(f"a setting of a control is given as name=value, not as {text!r}.")
        if key in controls:
            raise GraphmixError(f"control {key!r} is set twice for {wet}; give it one value.")
        try:
            controls[key] = float(value)
        except ValueError:
            controls[key] = math.nan
        if not math.isfinite(controls[key]):
            raise GraphmixError(f"control {key!r} is set to {value!r}; give a number.")
    return Pair(Path(dry), Path(wet), controls)


def _write_signal(path: Path, sample_rate: int, force: bool) -> None:
    from graphmix.audio import write_audio
    from graphmix.capture import capture_signal
    from graphmix.io import check_output

    check_output(path, force=force)
    samples = capture_signal(sample_rate)
    write_audio(path, samples[None], sample_rate)
    console = new_console()
    say(console, f"{path}: {len(samples) / sample_rate:.0f} s at {sample_rate} Hz, mono, peak -1 dB.")
    say(console, "Play it through the device and record what comes out, from before its beginning to after its end.")


@announcing_compilation()
def _run(
    pairs: "Sequence[Pair]",
    out: Path,
    model: str,
    preset_name: str,
    changes: dict[str, Any],
    gear: dict[str, str],
    alignment: dict[str, int | None],
    *,
    report: bool,
) -> None:
    from graphmix.capture import capture as run_capture
    from graphmix.capture import presets

    if model not in MODELS:
        raise GraphmixError(f"--model is {model!r}; the networks are: {', '.join(MODELS)}.")
    if preset_name not in ("draft", "full"):
        raise GraphmixError(f"--preset is {preset_name!r}; the presets are: draft, full.")
    asked = presets(model, "draft" if preset_name == "draft" else "full")
    settings = {name: one.model_copy(update=changes) for name, one in asked.items()}
    console = new_console()
    with ProgressListener(console) as listener:
        captured = run_capture(
            pairs, out, settings, gear=gear, listener=listener,
            latency=alignment["latency"], channel=alignment["channel"],
            on_notice=lambda notice: say(console, f"note: {notice}"),
        )  # fmt: skip
    metrics = captured.metrics
    if captured.already_done:
        for notice in metrics["notices"]:
            say(console, f"note: {notice}")
        say(console, f"{out} is finished already; nothing to do.")
    console.print(_table(metrics))
    written = "effect.safetensors, effect.nam" if metrics["nam"] == "effect.nam" else "effect.safetensors"
    say(console, f"{out}/: {written}, metrics.json, plots/")
    if metrics["nam"] != "effect.nam":
        say(console, f"no .nam file: {metrics['nam']}")
    report_at_end(console, out, wanted=report)


def _number(ratio: float | None) -> str:
    """An error-to-signal ratio; it is None in ``metrics.json`` if it is not finite."""
    return "not finite" if ratio is None or not math.isfinite(ratio) else f"{ratio:.5f}"


def _table(metrics: dict[str, Any]) -> Table:
    title = f"{metrics['model']}, {metrics['weights']} weights, {metrics['steps']} steps in {metrics['seconds']:.0f} s"
    table = Table("", "", title=Text(title), title_justify="left", show_header=False)
    table.add_row("error-to-signal ratio, on audio that training did not use", _number(metrics["esr"]))
    table.add_row("which is", metrics["grade"])
    known = [value for value in metrics["self_esr"] if value is not None]
    if known:
        table.add_row("the device against itself", f"{max(known):.5f}")
    return table
