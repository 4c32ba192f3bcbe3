"""The commands. Each parses its arguments, calls one function of the package and shows what came out.

Bad input ends with one line on standard error and exit status 2; Ctrl-C with 130.
"""

import errno
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from graphmix import __version__
from graphmix.cli.terminal import write_any_text
from graphmix.errors import GraphmixError
from graphmix.processes import prepare_program
from graphmix.text import name_as_text

RESUMED = ("capture", "demo", "mine", "mine-all", "patches", "separate", "songbook", "train", "train-programmer")
"""Commands that continue what an interrupted one left."""


class _Commands(TyperGroup):
    """Turns errors into one line and an exit status, before typer sees them (it would make Ctrl-C silent)."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except GraphmixError as error:
            _fail(str(error), 2)
        except KeyboardInterrupt:
            resumes = ctx.invoked_subcommand in RESUMED
            _fail("interrupted; the same command resumes the work." if resumes else "interrupted.", 130)
        except OSError as error:
            if error.errno == errno.EPIPE:  # the reader of our output is gone: no error of this program
                raise
            what = error.filename or "a file"  # a full disk, as compiled code is cached, names none
            _fail(f"cannot read or write {what}: {error.strerror or error}. Check space and permissions.", 2)


def _fail(message: str, status: int) -> None:
    line = name_as_text(" ".join(message.splitlines()))
    Console(stderr=True, soft_wrap=True, highlight=False).print(f"graphmix: {line}", markup=False)
    raise typer.Exit(status)


app = typer.Typer(
    name="graphmix",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


class PresetName(StrEnum):
    """Budgets of a search."""

    draft = "draft"
    paper = "paper"


class LookMode(StrEnum):
    """Whether a search looks for something."""

    auto = "auto"
    off = "off"


class SessionFormat(StrEnum):
    """Formats of sessions."""

    ardour = "ardour"
    dawproject = "dawproject"
    reaper = "reaper"


class SessionWay(StrEnum):
    """Ways to write a session."""

    exact = "exact"
    editable = "editable"


class PolicyName(StrEnum):
    """Pruning policies."""

    hybrid = "hybrid"
    dry_wet = "dry-wet"
    brute_force = "brute-force"
    leave_one_out = "leave-one-out"
    first_order = "first-order"


class ObjectiveName(StrEnum):
    """What a search minimises, as :data:`graphmix.search.objectives.OBJECTIVES`."""

    paper = "paper"
    dynamics = "dynamics"
    loudness = "loudness"


class SearchName(StrEnum):
    """What a search does beside pruning a fixed order, as :data:`graphmix.search.settings.SEARCHES`."""

    prune = "prune"
    moves = "moves"
    wide = "wide"
    relax = "relax"
    all = "all"


Song = Annotated[Path, typer.Argument(help="A song's folder: a mix and its dry tracks. With --separate a mix.")]
Graph = Annotated[Path, typer.Argument(help="A graph file, .safetensors or .json, or the folder of a mined song.")]
Mix = Annotated[Path | None, typer.Option(help="Mix, in place of the one in the song's folder.")]
Offset = Annotated[
    str | None, typer.Option(help='How far the mix lies behind the tracks: 0.35, "350 ms", "15435 samples".')
]
Align = Annotated[
    LookMode, typer.Option(help="auto: find out how late the mix and single tracks are, and what is inverted.")
]
USUAL_CHAIN = "ecnsgdr"
"""As :data:`graphmix.graph.CONSOLE_CHAIN`, whose import would take a second."""
Chain = Annotated[
    str,
    typer.Option(help=r"Processors on every track and bus, by letter or by name in brackets: e\[parametric_eq]g."),
]
Master = Annotated[
    str | None,
    typer.Option(help="Processors behind the sum, by letter; '' is none. The preset's; none with another --chain."),
]
Ducking = Annotated[LookMode, typer.Option(help="auto: find tracks that make way for others.")]
Sends = Annotated[str, typer.Option(help="Effects that tracks may share, by letter, such as dr.")]
Rides = Annotated[LookMode, typer.Option(help="auto: find fades, rides and mutes of tracks, subgroups and the mix.")]
Effect = Annotated[
    list[str] | None,
    typer.Option(
        help="A captured effect or plugin and its letter: a=amp.safetensors, p=plugin:Compressor; may be repeated."
    ),
]
MemoryAmount = Annotated[
    str | None,
    typer.Option(help="Memory that may be taken, such as 4GB; by default half of what is free, at most 4GB."),
]
Report = Annotated[bool, typer.Option(help="Write report.html, a page to listen on.")]
ObjectiveOption = Annotated[
    ObjectiveName,
    typer.Option(help="What is minimised: the paper's audio loss, or with it how levels move, or how loud all is."),
]
SearchOption = Annotated[
    SearchName,
    typer.Option(
        help="prune: the chain's order stays; by moves, by relaxed slots (relax), by both (all), by moves from a "
        "console of all --types (wide): it is sought."
    ),
]
Types = Annotated[
    str,
    typer.Option(help=r"Processors that such a search may bring in: e\[tanh]r; full: all; by default the chain's."),
]
Minutes = Annotated[
    float, typer.Option(min=0.0, help="Minutes of the search, which ends with the best graph so far; 0: no limit.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace what exists under the name of the output.")]


def chains(chain: str, master: str | None) -> dict[str, str]:
    """Both chains, as changes of a preset."""
    if master is None:
        return {"chain": chain} if chain == USUAL_CHAIN else {"chain": chain, "master": ""}
    return {"chain": chain, "master": master}


def looks(align: LookMode, rides: LookMode, ducking: LookMode, sends: str) -> dict[str, Any]:
    """Arguments of ``mine`` and ``mine_all``."""
    modes = {"align": align, "rides": rides, "ducking": ducking}
    return {**{name: mode is LookMode.auto for name, mode in modes.items()}, "sends": sends}


@app.command(epilog="Example: graphmix demo --out demo")
def demo(
    out: Annotated[Path, typer.Option(help="Output folder.")] = Path("graphmix-demo"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random choice.")] = 0,
    report: Report = True,
) -> None:
    """Mine a song that graphmix synthesizes, in about two minutes, and describe the result."""
    from graphmix.cli.demo_command import run_demo

    run_demo(out, seed, report=report)


@app.command(epilog="Example: graphmix mine songs/RockSteady --out mined/RockSteady --preset draft")
def mine(
    song: Song,
    out: Annotated[Path, typer.Option(help="Output folder; an unfinished run in it is resumed.")],
    preset: Annotated[PresetName, typer.Option(help="draft: minutes; paper: 12,000 steps.")] = PresetName.draft,
    chain: Chain = USUAL_CHAIN,
    master: Master = None,
    policy: Annotated[PolicyName, typer.Option(help="How candidates for removal are chosen.")] = PolicyName.hybrid,
    tolerance: Annotated[float, typer.Option(min=0.0, help="Loss increase that pruning may cost.")] = 0.01,
    objective: ObjectiveOption = ObjectiveName.paper,
    search: SearchOption = SearchName.prune,
    types: Types = "",
    minutes: Minutes = 0.0,
    steps: Annotated[int | None, typer.Option(min=0, help="Training steps of the full console.")] = None,
    rounds: Annotated[int | None, typer.Option(min=0, help="Pruning rounds; 0 keeps the full console.")] = None,
    sample_rate: Annotated[int, typer.Option(min=8000, help="Working rate in Hz.")] = 30000,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, …")] = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random choice.")] = 0,
    start: Annotated[
        str, typer.Option(help="levels, or estimator[:MODEL]: what sets the console before the first step.")
    ] = "levels",
    mix: Mix = None,
    offset: Offset = None,
    plots: Annotated[bool, typer.Option(help="Draw the pictures of the search and the graph.")] = True,
    effect: Effect = None,
    residual: Annotated[
        bool, typer.Option("--residual", help="Add what the tracks do not explain of the mix as one more track.")
    ] = False,
    align: Align = LookMode.auto,
    rides: Rides = LookMode.auto,
    ducking: Ducking = LookMode.auto,
    sends: Sends = "",
    full_band: Annotated[
        bool, typer.Option(help="Bring graph and mix to the rate of the song's mix, and fit its top octave.")
    ] = True,
    separate: Annotated[
        bool, typer.Option("--separate", help="SONG is a mix: separate it, and mine its stems, against --mix if given.")
    ] = False,
    model: Annotated[str, typer.Option(help="Separator of --separate: folder, file, or name.")] = "separator",
    iterations: Annotated[int, typer.Option(min=0, help="Of the Wiener filter of --separate.")] = 0,
    memory: MemoryAmount = None,
    report: Report = True,
) -> None:
    """Mine the mixing graph of a song: from dry tracks and mix to a sparse graph, sound, pictures and settings."""
    from graphmix.cli.mine_command import run_mine

    changes: dict[str, Any] = {**chains(chain, master), "policy": policy.value, "tolerance": tolerance}
    changes |= {"objective": objective.value, "sample_rate": sample_rate, "seed": seed}
    changes |= {"search": search.value, "types": types, "minutes": minutes}
    separator = (model, iterations) if separate else None
    run_mine(
        song, out, preset.value, steps, rounds, device, changes, start, mix, offset, plots, effect or [],
        residual=residual, separator=separator, full_band=full_band,
        look_for=looks(align, rides, ducking, sends), memory=memory, report=report,
    )  # fmt: skip


@app.command(epilog="Example: graphmix render mined/graph.safetensors songs/RockSteady/dry -o mix.wav")
def render(
    graph: Graph,
    stems: Annotated[Path, typer.Argument(help="Folder of dry tracks, or of a song.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Audio file: .wav, .flac or .ogg.")],
    force: Force = False,
    effect: Effect = None,
    sample_rate: Annotated[
        int | None, typer.Option(min=8000, help="Rate of the sound in Hz; by default that of the graph.")
    ] = None,
) -> None:
    """Render a graph from dry tracks; track names must be those of the graph's inputs."""
    from graphmix.cli.render_command import run_render

    run_render(graph, stems, output, force, effect or [], sample_rate)


@app.command(epilog="Example: graphmix export mined/RockSteady songs/RockSteady/dry -o RockSteady-session --to ardour")
def export(
    graph: Graph,
    stems: Annotated[Path, typer.Argument(help="Folder of dry tracks, or of a song.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the session; new or empty.")],
    to: Annotated[SessionFormat, typer.Option(help="Program that opens the session.")] = SessionFormat.ardour,
    sample_rate: Annotated[
        int | None, typer.Option(min=8000, help="Rate of the session in Hz; by default that of the tracks.")
    ] = None,
    how: Annotated[
        SessionWay, typer.Option(help="exact: graphmix's render; editable: the program's own faders and devices.")
    ] = SessionWay.exact,
    check: Annotated[
        bool, typer.Option("--check", help="Render the session with Ardour and compare that with graphmix's render.")
    ] = False,
    prints: Annotated[
        bool, typer.Option("--print", help="Render what the format or other programs lack into the clips.")
    ] = False,
) -> None:
    """Write a graph and its tracks as a session of a digital audio workstation."""
    from graphmix.cli.session_commands import run_export

    run_export(graph, stems, output, to.value, sample_rate, how.value, check, prints)


@app.command("import", epilog="Example: graphmix import RockSteady.dawproject -o songs/RockSteady")
def import_(
    session: Annotated[Path, typer.Argument(help="An .ardour, .dawproject or .RPP file, or a folder with one.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the song; new or empty.")],
) -> None:
    """Read the session of a digital audio workstation into a song folder with its graph."""
    from graphmix.cli.session_commands import run_import

    run_import(session, output)


@app.command(epilog="Example: graphmix plot mined/graph.safetensors -o graph.svg")
def plot(
    graph: Graph,
    output: Annotated[Path, typer.Option("-o", "--output", help="Picture: .svg, .png or .pdf.")],
    force: Force = False,
) -> None:
    """Draw a graph."""
    from graphmix.cli.plot_command import run_plot

    run_plot(graph, output, force)


@app.command(epilog="Example: graphmix show mined/graph.safetensors")
def show(
    graph: Graph,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show a graph's tracks, chains and settings as an engineer says them."""
    from graphmix.cli.show_command import run_show

    run_show(graph, as_json=as_json)


@app.command(epilog="Example: graphmix check songs/RockSteady")
def check(
    path: Annotated[Path, typer.Argument(help="A song's folder, a graph file, or a mined folder.")],
    sample_rate: Annotated[int, typer.Option(min=8000, help="Working rate in Hz, for a song.")] = 30000,
    mix: Mix = None,
    offset: Offset = None,
    quick: Annotated[bool, typer.Option("--quick", help="Do not compare the sound of mix and tracks.")] = False,
    effect: Effect = None,
) -> None:
    """Validate a song or a graph: what is wrong with it, and how to fix it."""
    from graphmix.cli.check_command import run_check

    run_check(path, sample_rate, mix, offset, quick, effect or [])


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"graphmix {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and end.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Music mixing as graphs: mine the graph of a mix, render it, draw it, read it."""


def main() -> None:
    """Run the program, in a process of its own."""
    write_any_text()
    prepare_program()
    app()
