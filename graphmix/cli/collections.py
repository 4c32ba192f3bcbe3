"""Commands for more than one song: list a collection, make a songbook, mine all, statistics."""

from pathlib import Path
from typing import Annotated

import typer

from graphmix.cli.app import (
    USUAL_CHAIN,
    Align,
    Chain,
    Ducking,
    Effect,
    Force,
    LookMode,
    Master,
    Minutes,
    ObjectiveName,
    ObjectiveOption,
    PolicyName,
    PresetName,
    Rides,
    SearchName,
    SearchOption,
    Sends,
    Types,
    app,
    chains,
    looks,
)

_COLLECTION = typer.Argument(help="A collection of songs.")
Kind = Annotated[str, typer.Option(help="Layout: auto, folder, medleydb, mixing-secrets, musdb18-hq or daw.")]
Tracks = Annotated[str, typer.Option(help="MedleyDB: take the dry tracks (raw) or the stems (stems) as tracks.")]
Subgroups = Annotated[
    Path | None, typer.Option(help="File that says which subgroup each track belongs to, .json or .csv.")
]
Metadata = Annotated[Path | None, typer.Option(help="Folder of MedleyDB's metadata, where it is not with the audio.")]


@app.command(epilog="Example: graphmix songs MedleyDB --metadata medleydb/Metadata")
def songs(
    path: Annotated[Path, _COLLECTION],
    kind: Kind = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    tracks: Tracks = "raw",
    subgroups: Subgroups = None,
    metadata: Metadata = None,
    write_subgroups: Annotated[
        Path | None, typer.Option(help="Write the subgroup of every track to this .csv, to correct and give back.")
    ] = None,
    force: Force = False,
) -> None:
    """List the songs of a collection: tracks, subgroups, minutes, problems."""
    from graphmix.cli.songs_command import run_songs

    run_songs(path, kind, json, tracks, subgroups, metadata, write_subgroups, force)


@app.command(epilog="Example: graphmix songbook --out book --songs 200 --max-tracks 12 --workers 2")
def songbook(
    out: Annotated[Path, typer.Option(help="Output folder; an unfinished songbook in it is resumed.")],
    songs: Annotated[int, typer.Option(min=1, help="How many songs it has in the end.")] = 20,
    mode: Annotated[str, typer.Option(help="console; gain: faders; record: with a master; random-order.")] = "console",
    types: Annotated[str, typer.Option(help="Processors of --mode random-order, as a chain: ecg[parametric_eq].")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything.")] = 0,
    chance: Annotated[float, typer.Option(min=0, max=1, help="How far decisions deviate from content.")] = 0.3,
    style_spread: Annotated[
        float,
        typer.Option("--style-spread", "--habits", min=0, max=1, help="How far artists' styles deviate."),
    ] = 0.3,
    min_tracks: Annotated[int, typer.Option(min=1, help="Fewest tracks of a song.")] = 2,
    max_tracks: Annotated[int | None, typer.Option(min=1, help="Most tracks; else as real ones, to 136.")] = None,
    seconds: Annotated[tuple[float, float], typer.Option(help="Shortest and longest song.")] = (10.0, 30.0),
    songs_per_artist: Annotated[int, typer.Option(min=1, help="Successive songs that share an artist.")] = 4,
    sample_rate: Annotated[int, typer.Option(min=16000, help="In Hz.")] = 30000,
    audio_format: Annotated[str, typer.Option(help="flac (24 bits) or wav (float).")] = "flac",
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    loops: Annotated[Path | None, typer.Option(help="Folder of your own loops and stems, for the parts.")] = None,
    roles: Annotated[Path | None, typer.Option(help="JSON file: role to file names, for the loops.")] = None,
    scores: Annotated[str | None, typer.Option(help="Folder of MIDI and MusicXML scores, or music21.")] = None,
    soundfont: Annotated[list[Path] | None, typer.Option(help="SF2 file whose presets play; may be repeated.")] = None,
    drumkits: Annotated[Path | None, typer.Option(help="Folder of Hydrogen drum kits, or of recorded strokes.")] = None,
    split: Annotated[
        str | None, typer.Option(help="train, valid or test: only its scores and instruments; else all.")
    ] = None,
    effect: Effect = None,
    effect_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the tracks that pass through a captured effect, if any.")
    ] = 0.5,
) -> None:
    """Write songs with known answers: dry tracks, mix, and the true graph of the mix."""
    from graphmix.cli.songbook_command import MaterialPaths, run_songbook
    from graphmix.songbook import SongbookSettings

    settings = SongbookSettings(
        seed=seed,
        mode=mode,  # type: ignore[arg-type]  # checked there
        chance=chance,
        style_spread=style_spread,
        min_tracks=min_tracks,
        max_tracks=max_tracks,
        seconds=seconds,
        songs_per_artist=songs_per_artist,
        sample_rate=sample_rate,
        audio_format=audio_format,  # type: ignore[arg-type]
        effect_share=effect_share,
        types=types,
    )
    given = MaterialPaths(scores, tuple(soundfont or ()), drumkits, split)
    run_songbook(out, songs, settings, workers=workers, loops=loops, roles=roles, effects=effect or [], material=given)


@app.command("mine-all", epilog="Example: graphmix mine-all songs --out mined --workers 2")
def mine_all(
    path: Annotated[Path, _COLLECTION],
    out: Annotated[Path, typer.Option(help="Output folder, which gets a folder for each song; resumed.")],
    preset: Annotated[PresetName, typer.Option(help="draft: minutes a song; paper: 12,000 steps.")] = PresetName.draft,
    chain: Chain = USUAL_CHAIN,
    master: Master = None,
    policy: Annotated[PolicyName, typer.Option(help="How candidates for removal are chosen.")] = PolicyName.hybrid,
    tolerance: Annotated[float, typer.Option(min=0.0, help="Loss increase that pruning may cost.")] = 0.01,
    objective: ObjectiveOption = ObjectiveName.paper,
    search: SearchOption = SearchName.prune,
    types: Types = "",
    minutes: Minutes = 0.0,
    steps: Annotated[int | None, typer.Option(min=0, help="Training steps of the full console.")] = None,
    rounds: Annotated[int | None, typer.Option(min=0, help="Pruning rounds.")] = None,
    sample_rate: Annotated[int, typer.Option(min=8000, help="Working rate in Hz.")] = 30000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random choice.")] = 0,
    workers: Annotated[int | None, typer.Option(min=0, help="Processes; else one a core or GPU.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of each worker.")] = None,
    ray: Annotated[str | None, typer.Option(help="Address of a Ray cluster; local starts one here.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, …")] = "auto",
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try again what failed.")] = False,
    plots: Annotated[bool, typer.Option(help="Draw the pictures of each song.")] = True,
    align: Align = LookMode.auto,
    rides: Rides = LookMode.auto,
    ducking: Ducking = LookMode.auto,
    sends: Sends = "",
    kind: Kind = "auto",
    tracks: Tracks = "raw",
    subgroups: Subgroups = None,
    metadata: Metadata = None,
    effect: Effect = None,
    memory: Annotated[str | None, typer.Option(help="Memory of each worker, such as 4GB; else their share.")] = None,
) -> None:
    """Mine every song of a collection; what is done stays done, what fails does not stop the others."""
    from graphmix.cli.mine_all_command import run_mine_all
    from graphmix.memory import parse_memory

    run_mine_all(
        path,
        out,
        preset.value,
        steps,
        rounds,
        kind,
        {"tracks": tracks, "subgroups": subgroups, "metadata": metadata},
        {
            **chains(chain, master),
            "policy": policy.value,
            "tolerance": tolerance,
            "objective": objective.value,
            "search": search.value,
            "types": types,
            "minutes": minutes,
            "sample_rate": sample_rate,
            "seed": seed,
        },
        effect or [],
        workers=workers,
        threads=threads,
        ray=ray,
        device=device,
        retry_failed=retry_failed,
        plots=plots,
        memory=None if memory is None else parse_memory(memory),
        **looks(align, rides, ducking, sends),
    )


@app.command(epilog="Example: graphmix stats mined --out statistics")
def stats(
    folders: Annotated[list[Path], typer.Argument(help="Outputs of mine and mine-all.")],
    out: Annotated[Path | None, typer.Option(help="For tables and pictures; else FOLDER/statistics.")] = None,
    force: Force = False,
) -> None:
    """Print the statistics of mined graphs; write tables and pictures."""
    from graphmix.cli.stats_command import run_stats

    run_stats(folders, out, force)
