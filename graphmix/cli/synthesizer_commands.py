"""``graphmix patches``, ``train-programmer`` and ``program``: patches of synthesizers, and the patch of a sound."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer
from rich.table import Table
from rich.text import Text

from graphmix.cli.app import Report, app
from graphmix.cli.progress import ProgressListener
from graphmix.cli.report_command import report_at_end
from graphmix.cli.terminal import new_console, say
from graphmix.errors import GraphmixError

if TYPE_CHECKING:
    from graphmix.synthesizers.training import Design

DESIGNS = ("separate", "joint-encoder", "joint-decoder")


@app.command(epilog="Example: graphmix patches --synth all --count 1000 --out patches")
def patches(
    out: Annotated[Path, typer.Option("-o", "--out", help="Output folder; continued if unfinished.")],
    synth: Annotated[str, typer.Option(help="subtractive, fm, wavetable, or all.")] = "all",
    count: Annotated[int, typer.Option(min=1, help="Patches of each synthesizer.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Of every random choice.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
) -> None:
    """Write random patches with a note each: audible, different, from plausible distributions."""
    from graphmix.synthesizers import SYNTHESIZERS
    from graphmix.synthesizers.patch_set import write_patches

    if synth != "all" and synth not in SYNTHESIZERS:
        raise GraphmixError(f"--synth is {synth!r}; it is all, {', '.join(SYNTHESIZERS)}.")
    chosen = list(SYNTHESIZERS.values()) if synth == "all" else [SYNTHESIZERS[synth]]
    console = new_console()
    with ProgressListener(console) as listener:
        listener.phase("patches", count * len(chosen))
        write_patches(out, chosen, count, seed, workers=workers, progress=lambda done, total: listener.progress(done))
    say(console, f"{out}/: {count} patches each of {', '.join(s.name for s in chosen)}, patches.json")


@app.command(name="train-programmer", epilog="Example: graphmix train-programmer patches --out programmer")
def train_programmer(
    patches: Annotated[Path, typer.Argument(help="A folder of graphmix patches.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Output folder; resumed if unfinished.")],
    design: Annotated[str, typer.Option(help=f"Of the network: {', '.join(DESIGNS)}.")] = "joint-encoder",
    latent: Annotated[int, typer.Option(min=1, max=4096, help="Size of the latent vector.")] = 64,
    steps: Annotated[int, typer.Option(min=1, help="Of training.")] = 3000,
    audio_steps: Annotated[
        int, typer.Option(min=0, help="So many of them, the last ones, learn from played sounds as well.")
    ] = 0,
    hidden: Annotated[int, typer.Option(min=1, help="Units of each of the decoders' three layers.")] = 1024,
    common: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Share of patches from which on a value is learned as an option of its number; 0: none.",
        ),
    ] = 0.01,
    seed: Annotated[int, typer.Option(min=0, help="Of every random choice.")] = 0,
) -> None:
    """Train a network that proposes the patch of a sound; graphmix program --model uses it."""
    from graphmix.synthesizers.training import ProgrammerTraining, read_training
    from graphmix.synthesizers.training import train_programmer as train

    if design not in DESIGNS:
        raise GraphmixError(f"--design is {design!r}; the designs are: {', '.join(DESIGNS)}.")
    chosen = cast("Design", design.replace("-", "_"))
    settings = ProgrammerTraining(
        chosen,
        latent,
        steps,
        seed=seed,
        validate_every=min(200, steps),
        hidden=(hidden,) * 3,
        audio_steps=audio_steps,
        common=common,
    )
    console = new_console()
    with ProgressListener(console) as listener:
        model = train(patches, out, settings, listener=listener)
    weights = sum(value.numel() for value in model.parameters())
    say(console, f"{out}/: {weights} weights for {', '.join(model.names)}; error on validation "
                 f"{read_training(out)['best']:.4f}")  # fmt: skip
    say(console, f"Use it:  graphmix program SOUND --out patch --model {out}")


@app.command(epilog="Example: graphmix program flute.wav --out flute --synth fm")
def program(
    sound: Annotated[Path, typer.Argument(help="A note: WAV, FLAC, MP3, …")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Output folder; resumed if unfinished.")],
    synth: Annotated[str, typer.Option(help="subtractive, fm, wavetable, or auto: the nearest of them.")] = "auto",
    steps: Annotated[int, typer.Option(min=0, help="Steps of the refinement: trials and gradient descent.")] = 200,
    candidates: Annotated[int, typer.Option(min=1, help="Random patches that are tried first.")] = 200,
    note: Annotated[float | None, typer.Option(min=0, max=127, help="MIDI note number; else estimated.")] = None,
    length_ms: Annotated[
        float | None, typer.Option(min=1, max=60_000, help="How long the key is down; else estimated.")
    ] = None,
    notes: Annotated[
        str,
        typer.Option(
            help="Several notes of the sound, one by one, as pitch:start:length in MIDI note numbers and ms, "
            "e.g. 60:0:400,64:500:400; auto: they are found."
        ),
    ] = "",
    model: Annotated[
        str,
        typer.Option(
            help="A network whose proposals are more candidates: a folder of train-programmer, none, "
            "or programmer, which comes with graphmix."
        ),
    ] = "programmer",
    prune: Annotated[bool, typer.Option("--prune", help="Take out the modules that the sound does not need.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the candidates.")] = 0,
    plots: Annotated[bool, typer.Option(help="Draw spectrograms and the patch.")] = True,
    report: Report = True,
) -> None:
    """Find a synthesizer patch that makes a sound: candidates, the nearest of them refined."""
    from graphmix.synthesizers.program_run import SHIPPED, ProgramSettings, program_sound

    networks = {"none": None, "programmer": SHIPPED}
    settings = ProgramSettings(synth, candidates, steps, note, length_ms, notes, seed, prune=prune)
    console = new_console()
    with ProgressListener(console) as listener:
        metrics = program_sound(
            sound,
            out,
            settings,
            model=networks[model] if model in networks else Path(model),
            plots=plots,
            listener=listener,
            on_notice=lambda text: say(console, f"note: {text}"),
        )
    title = f"{sound.name}: MIDI note {metrics['pitch']:.2f}, {metrics['length_ms']:.0f} ms"
    table = Table("synthesizer", "distance / dB", title=Text(title), title_justify="left")
    for name, distance in sorted(metrics["by_synthesizer"].items(), key=lambda entry: entry[1]):
        table.add_row(name, f"{distance:.2f}")
    console.print(table)
    say(console, f"{metrics['synthesizer']}: {metrics['proposed_db']:.2f} dB proposed, {metrics['distance_db']:.2f} dB "
                 "refined (mean log-spectral distance, floor at -80 dB)")  # fmt: skip
    written = "patch.safetensors, patch.json, match.wav, metrics.json"
    say(
        console,
        f"{out}/: {written}{', voice.syx' if (out / 'voice.syx').exists() else ''}{', plots/' if plots else ''}",
    )
    report_at_end(console, out, wanted=report)
