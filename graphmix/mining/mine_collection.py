"""Mining a collection: one song per task, longest first, on the workers of a pool.

Each song has its folder in the output folder, named by its id, as :func:`graphmix.mine` writes it, or with a
``failure.json`` that gives the reason of its failure. Beside them are ``catalogue.sqlite`` (see
:mod:`graphmix.mining.catalogue`) and ``mine_all.json``: the collection and the settings that the output folder belongs
to. Run again, finished songs are left alone, unfinished ones resumed, failed ones skipped until a retry is requested.
"""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from graphmix.errors import SearchError
from graphmix.io import name_as_text
from graphmix.memory import Memory, usual_memory
from graphmix.mining.catalogue import FILE as CATALOGUE
from graphmix.mining.driver import Driver, Standing, Watcher
from graphmix.mining.pool import InProcess, LocalPool, Pool, available_cores, default_workers, find_devices
from graphmix.mining.song_task import SongTask
from graphmix.processes import device_name
from graphmix.processors.base import Processor
from graphmix.processors.rack import sources_of
from graphmix.progress import Silent
from graphmix.runs import RUN as SONG_RUN
from graphmix.runs import RunFolder, RunStatus, first_difference
from graphmix.search.mine_song import FAILURE, choose_device, console_rack
from graphmix.search.sends import check_sends
from graphmix.search.settings import LookFor, SearchSettings, complete
from graphmix.songs.collection import Collection, open_collection

RUN = "mine_all.json"


def mine_all(
    collection: Collection | str | Path,
    out: str | Path,
    settings: SearchSettings | None = None,
    *,
    workers: int | None = None,
    threads: int | None = None,
    ray: str | None = None,
    device: str = "auto",
    retry_failed: bool = False,
    plots: bool = True,
    effects: Sequence[Processor] = (),
    align: bool = True,
    rides: bool = True,
    ducking: bool = True,
    sends: str = "",
    memory: Memory | None = None,
    watcher: Watcher | None = None,
) -> Standing:
    """Mine every song of a collection into a folder, or resume it.

    Worker processes are spawned: a script that calls this needs ``if __name__ == "__main__":``.

    Args:
        collection: opened, or where it is.
        out: output folder; made if it is not there.
        settings: the same for all songs; the paper's by default.
        workers: number of processes; 0 mines in this process, one song after another. By default one for each GPU, or
            else one for each core, fewer where memory is short. With Ray, the most songs at a time; by default as many
            as the cluster has room for.
        threads: of each worker; by default the cores are divided among the workers; 1 with Ray.
        ray: address of a Ray cluster instead of a local pool; ``"local"`` starts one on this machine.
        device: on which to compute; ``"auto"`` assigns the GPUs to the workers in turn.
        retry_failed: try songs again that failed in an earlier run.
        plots: draw the pictures of each song.
        effects: processors beside graphmix's own, for their letters in the chain, e.g. captured effects.
        align: find out where the mix and the tracks of each song lie; see :mod:`graphmix.search.alignment`.
        rides: look for gains that move over each song; see :mod:`graphmix.search.rides`.
        ducking: look for tracks that make way for others; see :mod:`graphmix.search.ducking`.
        sends: letters of effects that tracks may share; see :mod:`graphmix.search.sends`.
        memory: what each worker may keep at a time; by default what is free is shared among the workers, and by each of
            a Ray cluster as it finds it; see :mod:`graphmix.memory`.
        watcher: shown the progress.

    Raises:
        SongError, GraphError, SearchError: no collection, invalid settings, an output folder of another run. A song
            that cannot be mined is no error; see :attr:`Standing.failed`.
    """
    settings = settings or SearchSettings()
    check_sends(sends, console_rack(settings, effects))  # refuses an unknown letter before anything is opened
    for name, value, least in (("workers", workers, 0), ("threads", threads, 1)):
        if value is not None and value < least:
            raise SearchError(f"{name} is {value}; give {least} or more.")
    if not isinstance(collection, Collection):
        collection = open_collection(collection)
    folder, device = Path(out), device_name(device)
    look_for = LookFor(align, rides, ducking, sends)
    _claim(folder, collection, settings, effects, look_for)
    if memory is None and ray is None:
        memory = usual_memory(processes=min(_count_workers(workers, device), max(1, len(collection))))
    common = settings, device, plots, tuple(effects), look_for, memory
    tasks = [SongTask(song, folder / song.id, *common) for song in collection]
    with closing(Driver(folder, tasks, retry_failed, watcher or Silent())) as driver:
        driver.plan()
        if driver.has_work:
            driver.run(_make_pool(folder, len(driver.todo), workers, threads, ray, device))
        return driver.standing


def _claim(
    folder: Path,
    collection: Collection,
    settings: SearchSettings,
    effects: Sequence[Processor],
    look_for: LookFor,
) -> None:
    """Make the output folder, and check that it is for this collection, these settings and these effects."""
    run: dict[str, Any] = {"collection": name_as_text(collection.name), "settings": settings.to_dict()}
    if effects:
        run["effects"] = sources_of(effects)
    run |= look_for.unusual()
    output = RunFolder(folder, run, CATALOGUE, _difference, _may_hold, RUN)
    if output.status() is RunStatus.NEW:
        with output.hold():
            if output.status() is RunStatus.NEW:  # no other driver was faster
                output.begin()


def _difference(found: Mapping[str, Any], ours: Mapping[str, Any]) -> str | None:
    """In what another output folder differs from ours; see :class:`graphmix.runs.RunFolder`."""
    name, settings = found["collection"], dict(found["settings"])
    if name != ours["collection"]:
        return f"the collection {name!r}, not {ours['collection']!r}. Choose another --out."
    different = first_difference(
        {**complete(settings), **_options(found)}, {**complete(ours["settings"]), **_options(ours)}
    )
    if different is None:
        return None
    key, before, now = different
    return f"songs mined with {key} = {before}, not {now}. Choose another --out, or the same settings to resume them."


def _options(run: Mapping[str, Any]) -> dict[str, Any]:
    return {"effects": run.get("effects"), **asdict(LookFor.of_run(run))}


def _may_hold(path: Path) -> bool:
    """What may be in an output folder before its first run: songs mined one by one, their statistics, hidden files."""
    is_mined = any((path / name).exists() for name in (SONG_RUN, FAILURE)) or any(path.glob(f"*/{SONG_RUN}"))
    return is_mined or path.name == "statistics" or path.name.startswith(".")


def _count_workers(workers: int | None, device: str) -> int:
    return default_workers(find_devices(device)) if workers is None else max(1, workers)


def _make_pool(
    folder: Path, tasks: int, workers: int | None, threads: int | None, ray: str | None, device: str
) -> Pool:
    if ray is not None:
        from graphmix.mining.ray_pool import RayPool

        return RayPool(ray, folder, threads or 1, 1.0 if device.startswith("cuda") else 0.0, workers)
    if workers == 0:
        return InProcess()
    devices = find_devices(device)
    choose_device(devices[0])
    workers = _count_workers(workers, device)
    threads = threads or max(1, available_cores() // workers)  # however few tasks are left: the results depend on it
    return LocalPool(min(workers, max(1, tasks)), threads, devices)
