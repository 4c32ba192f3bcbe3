"""Commands for models that propose a mix: train, predict, evaluate."""

from pathlib import Path
from typing import Annotated

import typer

from graphmix.cli.app import Effect, Force, Report, app

_MODELS = "folders that train wrote, files, or names"
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, …")]


@app.command(epilog="Example: graphmix train graph --songs book --out trained/graph")
def train(
    config: Annotated[str, typer.Argument(help="A TOML file, or the name of a configuration of graphmix.")],
    out: Annotated[Path, typer.Option(help="Output folder; an unfinished training in it is resumed.")],
    songs: Annotated[
        list[Path] | None, typer.Option(help="Songbook or mined songs; may be repeated. Else the configuration's.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Gradient steps, instead of the configuration's.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of every random choice.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    devices: Annotated[int | None, typer.Option(help="Processes, each on its device, trained by DDP.")] = None,
    precision: Annotated[str | None, typer.Option(help="32-true, bf16-mixed or 16-mixed.")] = None,
    chain: Annotated[str | None, typer.Option(help="Processors of the model, by letter or name in brackets.")] = None,
    effect: Effect = None,
) -> None:
    """Train a model on songs whose graphs are known; an unfinished training is resumed."""
    from graphmix.cli.train_command import run_train

    options = {"steps": steps, "seed": seed, "device": device, "devices": devices, "precision": precision}
    run_train(config, out, songs or (), chain=chain, effects=effect or (), **options)  # type: ignore[arg-type]


@app.command(epilog="Example: graphmix predict songs/NewSong/dry -o mixed")
def predict(
    stems: Annotated[Path, typer.Argument(help="Folder of dry tracks, or of a song.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Output folder.")],
    model: Annotated[str, typer.Option(help="Folder that train wrote, file, or name.")] = "graph",
    device: Device = "auto",
    force: Force = False,
    report: Report = True,
    keep: Annotated[
        list[str] | None,
        typer.Option(help='What is decided already: "Vocals=fader:-3", pan:L30, off; may be repeated.'),
    ] = None,
    reference: Annotated[Path | None, typer.Option(help="A mix of another song, whose style is wanted.")] = None,
    variants: Annotated[int, typer.Option(min=1, max=100, help="Number of mixes, by a model that knows several.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of variants.")] = 0,
    rules: Annotated[
        bool, typer.Option(help="Keep rules: low parts in the middle, headroom, no gate on sustained parts, mono.")
    ] = True,
) -> None:
    """Mix dry tracks with a model: a graph, sound, pictures, a page to listen on."""
    from graphmix.cli.predict_command import run_predict

    run_predict(
        stems, model, output, device, force, report=report,
        rules=rules, keep=keep or (), reference=reference, variants=variants, seed=seed,
    )  # fmt: skip


@app.command(epilog="Example: graphmix evaluate trained/graph sum --songs book --held-out --out scores.csv")
def evaluate(
    models: Annotated[list[str], typer.Argument(help=f"Models: {_MODELS}.")],
    songs: Annotated[Path, typer.Option(help="A songbook, mined songs, a collection, or one song.")],
    out: Annotated[Path | None, typer.Option(help="For every row: .csv or .json.")] = None,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="Leave out songs by artists that a model was trained on.")
    ] = False,
    max_tracks: Annotated[int | None, typer.Option(min=1, help="Leave out songs with more tracks.")] = None,
    mined: Annotated[
        Path | None, typer.Option(help="Mined songs: what was mined of the songs' own mixes, rendered again.")
    ] = None,
    against: Annotated[str, typer.Option(help="Of the models, the one that the others are compared with.")] = (
        "loudness_sum"
    ),
    rules: Annotated[bool, typer.Option("--rules", help="Let proposals keep the rules that predict's keep.")] = False,
    device: Device = "auto",
    force: Force = False,
) -> None:
    """Compare models on the same songs, in one table."""
    from graphmix.cli.evaluate_command import run_evaluate

    run_evaluate(
        models, songs, out, held_out=held_out, max_tracks=max_tracks, device=device, force=force,
        mined=mined, against=against, rules=rules,
    )  # fmt: skip
