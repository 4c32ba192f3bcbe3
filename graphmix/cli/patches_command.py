"""``graphmix patches``: random patches of synthesizers, as a data set."""

from pathlib import Path
from typing import Annotated

import typer

from graphmix.cli.app import app
from graphmix.cli.progress import ProgressListener
from graphmix.cli.terminal import new_console, say
from graphmix.errors import GraphmixError


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
