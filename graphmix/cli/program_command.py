"""``graphmix program``: a patch for a sound."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from graphmix.cli.app import app
from graphmix.cli.progress import ProgressListener
from graphmix.cli.terminal import new_console, say


@app.command(epilog="Example: graphmix program flute.wav --out flute --synth fm")
def program(
    sound: Annotated[Path, typer.Argument(help="A note: WAV, FLAC, MP3, …")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Output folder.")],
    synth: Annotated[str, typer.Option(help="subtractive, fm, wavetable, or auto: the nearest of them.")] = "auto",
    steps: Annotated[int, typer.Option(min=0, help="Steps of gradient descent.")] = 200,
    candidates: Annotated[int, typer.Option(min=1, help="Random patches that are tried first.")] = 200,
    note: Annotated[float | None, typer.Option(min=0, max=127, help="MIDI note number; else estimated.")] = None,
    length_ms: Annotated[float | None, typer.Option(min=1, help="How long the key is down; else estimated.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the candidates.")] = 0,
    plots: Annotated[bool, typer.Option(help="Draw spectrograms and the patch.")] = True,
) -> None:
    """Find a synthesizer patch that makes a sound: candidates, the nearest of them refined by gradient descent."""
    from graphmix.synthesizers.program_run import ProgramSettings, program_sound

    settings = ProgramSettings(synth, candidates, steps, note, length_ms, seed)
    console = new_console()
    with ProgressListener(console) as listener:
        metrics = program_sound(
            sound, out, settings, plots=plots, listener=listener, on_notice=lambda text: say(console, f"note: {text}")
        )
    title = f"{sound.name}: MIDI note {metrics['pitch']:.2f}, {metrics['length_ms']:.0f} ms"
    table = Table("synthesizer", "distance / dB", title=Text(title), title_justify="left")
    for name, distance in sorted(metrics["by_synthesizer"].items(), key=lambda entry: entry[1]):
        table.add_row(name, f"{distance:.2f}")
    console.print(table)
    say(console, f"{metrics['synthesizer']}: {metrics['proposed_db']:.2f} dB proposed, {metrics['distance_db']:.2f} dB "
                 "refined (mean log-spectral distance, floor at -80 dB)")  # fmt: skip
    written = "patch.safetensors, patch.json, match.wav, metrics.json"
    say(console, f"{out}/: {written}{', voice.syx' if (out / 'voice.syx').exists() else ''}, plots/")
