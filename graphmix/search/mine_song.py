"""Mining one song: from its files to the files that describe its mix.

The output folder holds, when it is done, ``graph.safetensors``, ``graph.json``, ``console.safetensors`` (the fitted
console before pruning), ``mix.wav``, ``metrics.json``, ``trace.jsonl`` and ``plots/``, on request ``residual.wav``;
``run.json`` says from the beginning which song and settings it belongs to, and ``checkpoint.safetensors`` is there
while the search runs. Every file is complete or absent. Run again, a finished
folder is left alone and an unfinished one is continued. A process that works on a folder holds its ``.lock``, of which
the system lets go when the process dies, however it dies.
"""

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from graphmix.audio.song import Song, load_song
from graphmix.audio.song_places import SEPARATED
from graphmix.chain_string import join_chain, split_chain
from graphmix.errors import GraphError, SearchError
from graphmix.graph.consoles import mixing_console
from graphmix.graph.mixgraph import MixGraph
from graphmix.io import existing_folder, finite, to_json, write_atomically
from graphmix.memory import Memory, usual_memory
from graphmix.processes import device_name, give_back_memory
from graphmix.processors.base import Processor
from graphmix.processors.rack import Rack, sources_of
from graphmix.progress import Listener, Silent
from graphmix.runs import RunFolder, RunStatus, first_difference
from graphmix.search.alignment import NO_ALIGNMENT, Alignment, find_alignment
from graphmix.search.fit import check_gradients
from graphmix.search.full_band import check_rates, own_rate
from graphmix.search.initialization import Start, find_baselines, start_graph
from graphmix.search.metrics import METRICS, SongSource
from graphmix.search.mined import USUAL_START, Mined, load_finished, write_results
from graphmix.search.objective import Objective
from graphmix.search.pruning import Search
from graphmix.search.residual import Unexplained, find_unexplained, with_residual
from graphmix.search.search_state import ScoredGraph, SearchState
from graphmix.search.sends import check_sends
from graphmix.search.settings import LookFor, SearchSettings, complete
from graphmix.search.whole_song import score_whole
from graphmix.search.wide import wide_settings, widen

SAVE_EVERY_SECONDS = 15.0
"""Time between checkpoints: a crash loses at most this much work, and one step or trial."""
FAILURE = "failure.json"
"""Why the song of an output folder could not be mined, where a whole collection was."""
_DIGESTED = 1 << 18


def choose_device(name: str) -> torch.device:
    """The device of a name: ``auto`` is the first GPU if there is one, else the CPU; ``gpu`` is ``cuda``.

    Raises:
        SearchError: a device that torch does not know or that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(device_name(name))
        float(torch.zeros(1, dtype=torch.float64, device=device))  # envelopes need it; Apple's mps has none
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise SearchError(f"device {name!r} cannot be used ({reason}); try --device cpu or auto.") from None
    return device


def mine(
    song: str | Path | Song,
    out: str | Path,
    settings: SearchSettings | None = None,
    *,
    device: str = "auto",
    listener: Listener | None = None,
    source: SongSource | None = None,
    start: Start | None = None,
    plots: bool = True,
    effects: Sequence[Processor] = (),
    residual: bool = False,
    align: bool = True,
    rides: bool = True,
    ducking: bool = True,
    sends: str = "",
    full_band: bool = True,
    memory: Memory | None = None,
) -> Mined:
    """Mine the mixing graph of a song into a folder, or resume it.

    Args:
        song: its folder, or the loaded song.
        out: output folder; made if it is not there.
        settings: the paper's by default; see :data:`graphmix.search.PRESETS`.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, …
        listener: shown the progress.
        source: of the song, for ``metrics.json`` and the graph's provenance; its name alone by default.
        start: sets the console in place of least squares and spectra; see :class:`graphmix.training.EstimatorStart`.
        effects: processors beside graphmix's own, for their letters in the chain, e.g. captured effects.
        plots: draw pictures and measure the importance of processors, into ``plots/``.
        residual: add what the tracks do not explain of the mix as one more track, ``residual.wav`` in the output
            folder; see :mod:`graphmix.search.residual`.
        align: find out where mix and tracks lie, and put it into the graph; see :mod:`graphmix.search.alignment`.
        rides: look for gains that move over the song: fades, rides, mutes; see :mod:`graphmix.search.rides`.
        ducking: look for tracks that make way for others; see :mod:`graphmix.search.ducking`.
        sends: letters of effects that tracks may share, such as ``"dr"``; see :mod:`graphmix.search.sends`.
        full_band: bring the result to the rate of the song's mix and fit what lies above the search's band; see
            :mod:`graphmix.search.full_band`. Else it stays at the search's rate.
        memory: what may be kept at a time; by default as much as is free, see :mod:`graphmix.memory`. The result does
            not depend on it.

    Raises:
        SongError, GraphError, SearchError: bad input, or an output folder that holds something else.
        FolderBusyError: another process is at work in the folder.
    """
    settings, memory = settings or SearchSettings(), memory or usual_memory()
    chosen = choose_device(device)
    chain, rack = widen(settings, console_rack(settings, effects))
    if not isinstance(song, Song):
        song = load_song(song, settings.sample_rate, preload_bytes=memory.song, store_in=existing_folder(out))
    loss = settings.new_loss(song.sample_rate)
    make_objective = partial(Objective, device=chosen, loss=loss, evaluated=settings.evaluated_segments, memory=memory)
    objective = make_objective(song, rack)
    console = console_for(song, rack, settings, chain)
    if settings.steps or (settings.rounds and settings.round_steps):
        check_gradients(console, rack)
    folder = Path(out)
    run: dict[str, Any] = {"song": fingerprint(song), "settings": settings.to_dict()}
    if start is not None:
        start.check(console)
        run["start"] = start.name
    if effects:
        run["effects"] = sources_of(effects)
    if residual:
        run["residual"] = True
    look_for = LookFor(align, rides, ducking, sends)
    check_sends(sends, rack)
    run |= look_for.unusual()
    if full_band:
        check_rates(effects, own_rate(song))
    else:
        run["full_band"] = False
    output = run_folder(folder, run)
    if output.status() is RunStatus.FINISHED:
        return load_finished(folder)
    listener = listener or Silent()
    with output.hold():
        if output.status() is RunStatus.FINISHED:  # by another process, meanwhile
            return load_finished(folder)
        given = song
        prepared = _prepare(song, output, listener, align=align, residual=residual)
        if prepared.song is not song:
            song = prepared.song
            objective = make_objective(song, rack)
            console = console_for(song, rack, settings, chain)
        state = _resume(output, rack)
        if state is None:
            listener.phase("finding levels", None)
            state = begin_search(console, objective, settings, start)
            state.phase = "rides" if look_for.grows else "train"
        saver = _Saver(folder / "checkpoint.safetensors", run)
        saver(state)
        searched = settings if chain == settings.chain else wide_settings(settings)
        search = Search(objective, searched, state, listener, saver, look_for=look_for)
        search.run()
        saver.write(state)
        give_back_memory()
        listener.phase("writing", None)
        sampled = score_whole(search.objective, state)
        about: dict[str, Any] = {
            "alignment": prepared.alignment,
            "unexplained": prepared.unexplained or find_unexplained(song),
            "own": replace(given, tracks=song.tracks, subgroups=song.subgroups, _decoded=None) if full_band else None,
            "effects": effects,
            "sampled": sampled,
        }
        source = source or SongSource(song.name)
        return write_results(output, search.objective, settings, state, source, plots=plots, **about)


class _Prepared(NamedTuple):
    """The song that is searched, and what was done to it."""

    song: Song
    alignment: Alignment
    unexplained: Unexplained | None


def _prepare(song: Song, output: RunFolder, listener: Listener, *, align: bool, residual: bool) -> _Prepared:
    """Align the tracks and add the residual, where that is wanted; begins the run in its folder."""
    listener.phase("aligning", None)
    alignment = find_alignment(song) if align else NO_ALIGNMENT
    output.begin()
    song = alignment.align(song)
    if not residual:
        return _Prepared(song, alignment, None)
    listener.phase("finding the residual", None)
    unexplained = find_unexplained(song, with_audio=True)
    return _Prepared(with_residual(song, unexplained, output.path), alignment, unexplained)


def console_for(song: Song, rack: Rack, settings: SearchSettings, chain: str | None = None) -> MixGraph:
    """The full console of a search, whose chains are those of the settings or wider.

    A song with one subgroup has the subgroup's chain behind the sum; of the master chain it gets what that lacks.
    """
    master, chain = settings.master, settings.chain if chain is None else chain
    if sum(bool(members) for members in song.subgroups.values()) == 1:
        names = {t.letter: t.name for t in rack.types}
        own = {names.get(kind, kind) for kind in split_chain(chain)}
        master = join_chain(kind for kind in split_chain(master) if names.get(kind, kind) not in own)
    return mixing_console(rack, song.subgroups, chain, master)


def console_rack(settings: SearchSettings, effects: Sequence[Processor] = ()) -> Rack:
    """The processors of a search's chains.

    Raises:
        GraphError: a letter that no processor has, an effect whose letter is another's or not in the chain.
    """
    chain = settings.chain + settings.master
    kinds = split_chain(settings.chain) + split_chain(settings.master, "master chain")
    rack = Rack.console(chain or "g", settings.sample_rate, effects)
    for effect in effects:
        letter, name = effect.node_type.letter, effect.node_type.name
        if letter not in kinds and name not in kinds:
            raise GraphError(f"chain {settings.chain!r} has no letter {letter!r} for {name}; add it to the chain.")
    return rack


def fingerprint(song: Song) -> dict[str, Any]:
    """What identifies a song: names, subgroups, and a digest of each file's ends and size."""
    assert song.mix is not None, "mining needs a mix"
    tracks = {track.name: digest_file(track.info.path) for track in song.tracks}
    subgroups = {bus: list(members) for bus, members in song.subgroups.items()}
    found = {"name": song.name, "mix": digest_file(song.mix.path), "tracks": tracks, "subgroups": subgroups}
    return {**found, "offset": song.offset} if song.offset else found  # absent in runs of earlier versions


def digest_file(path: Path) -> str:
    """Digest of the size, the first and the last 256 KiB: files of one length that differ, differ there."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        head = file.read(_DIGESTED)
        file.seek(max(0, size - _DIGESTED))
        return hashlib.sha256(f"{size} ".encode() + head + file.read(_DIGESTED)).hexdigest()[:16]


class _Saver:
    """Writes the state every so often."""

    def __init__(self, path: Path, run: dict[str, Any]) -> None:
        self.path, self.run, self.last = path, run, -SAVE_EVERY_SECONDS

    def __call__(self, state: SearchState) -> None:
        if time.monotonic() - self.last >= SAVE_EVERY_SECONDS:
            self.write(state)

    def write(self, state: SearchState) -> None:
        """Now."""
        state.save(self.path, self.run)
        lines = "".join(to_json(finite(record)) + "\n" for record in state.trace)
        write_atomically(self.path.with_name("trace.jsonl"), lines.encode())
        self.last = time.monotonic()


def run_folder(folder: Path, run: dict[str, Any]) -> RunFolder:
    """The output folder of a run of :func:`mine`."""
    return RunFolder(folder, run, METRICS, _difference, lambda path: path.name in (FAILURE, SEPARATED))


def _difference(found: Mapping[str, Any], ours: Mapping[str, Any]) -> str | None:
    """In what another run differs from ours; see :class:`graphmix.runs.RunFolder`."""
    their_song, their_settings = dict(found["song"]), dict(found["settings"])
    if their_song != ours["song"]:
        return f"another song, {their_song.get('name', '?')!r}. Choose another --out."
    different = first_difference(
        {**complete(their_settings), **_options(found)},
        {**complete(ours["settings"]), **_options(ours)},
    )
    if different is None:
        return None
    name, theirs, our = different
    return (
        f"this song mined with {name} = {theirs}, not {our}. Choose another --out, or the same settings to resume it."
    )


def _options(run: Mapping[str, Any]) -> dict[str, Any]:
    """What a run has beside its song and settings, where it is not the usual."""
    return {
        "start": run.get("start", USUAL_START),
        "effects": run.get("effects"),
        "residual": run.get("residual", False),
        **asdict(LookFor.of_run(run)),
        "full_band": run.get("full_band", True),
    }


def _resume(output: RunFolder, rack: Rack) -> SearchState | None:
    path = output.path / "checkpoint.safetensors"
    if not path.exists():
        return None
    state, found = SearchState.load(path, rack)
    if not output.is_same(found):
        raise SearchError(f"{path} belongs to another run. Delete it, or choose another --out.")
    return state


def begin_search(
    console: MixGraph, objective: Objective, settings: SearchSettings, start: Start | None = None
) -> SearchState:
    """Set the console and evaluate the baselines, before the first step.

    Args:
        console: full, at its neutral values.
        objective: the song and its losses.
        settings: chain and seed.
        start: sets the console in place of least squares and spectra.
    """
    started = time.perf_counter()
    has_gain = not {"g", "gain"}.isdisjoint(split_chain(settings.chain))
    baselines = find_baselines(objective, with_gains=has_gain and start is None)
    if start is None:
        graph = start_graph(console, objective, baselines, settings.seed)
    else:
        graph = start(console, objective.song, objective.rack, settings.seed)
    best = min(baselines, key=lambda baseline: float(baseline.loss.total))
    paper = objective.of_the_paper()
    losses = {b.name: b.loss if paper is objective else paper.evaluate_whole(b.graph) for b in baselines}
    return SearchState(
        ScoredGraph(graph),
        baseline=ScoredGraph(best.graph, best.loss),
        baseline_losses={name: float(loss.total) for name, loss in losses.items()},
        seconds={"start": time.perf_counter() - started},
    )
