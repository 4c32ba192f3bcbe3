"""Writing a synthetic dataset: many songs, in parallel, resumed where a run was stopped."""

import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from graphmix.errors import SongError
from graphmix.processes import start_worker
from graphmix.processors.base import Processor
from graphmix.songbook.book_song import make_song, song_name
from graphmix.songbook.files import is_written, open_book, write_song
from graphmix.songbook.loops import LoopLibrary
from graphmix.songbook.material import RealMaterial
from graphmix.songbook.settings import SongbookSettings

Progress = Callable[[int, int], None]
"""Called with songs done and songs wanted."""
_BROKEN_POOLS = 3
"""So many pools may lose a worker before it is taken for more than an accident."""
_SONGS_AT_ONCE = 4
"""Songs that wait for each worker."""


def write_songbook(
    out: str | Path,
    songs: int | Iterable[int],
    settings: SongbookSettings | None = None,
    *,
    workers: int = 1,
    loops: LoopLibrary | None = None,
    effects: Sequence[Processor] = (),
    material: RealMaterial | None = None,
    progress: Progress | None = None,
) -> list[Path]:
    """Write songs that are not there yet, and return the folders of all that were asked for.

    Args:
        out: folder of the songbook.
        songs: how many, from the first; or the indices of those wanted.
        settings: of all of them; see :class:`SongbookSettings`.
        workers: processes; 1 works in this one.
        loops: files in place of the synthesized parts.
        effects: captured effects, at the songbook's rate; ``settings.effect_share`` of the tracks pass through one.
        material: real scores and samples, in place of what is composed and synthesized; not together with loops.
        progress: called with the number of songs done.

    A song depends on settings, material and index alone: any number of workers, runs and orders gives the same files.
    A run that is killed leaves complete songs; the next one continues. A worker that dies is replaced.

    Raises:
        SongError: the folder holds another songbook or cannot be written, a loop cannot be read, or workers keep dying.
    """
    settings = settings or SongbookSettings()
    wanted = list(range(songs)) if isinstance(songs, int) else list(songs)
    if any(index < 0 for index in wanted) or workers < 1:
        raise SongError(f"a songbook needs indices of 0 or more and 1 worker or more, not {workers}.")
    if loops is not None and material is not None:
        raise SongError("a songbook is made of loops or of scores and samples, not of both.")
    out = Path(out)
    open_book(out, settings, loops, effects, material)
    missing = [index for index in wanted if not is_written(out, song_name(index))]
    report = _Report(progress, len(wanted), len(wanted) - len(missing))
    source = _Source(out, settings, loops, tuple(effects), material)
    if workers == 1 or len(missing) < 2:
        for index in missing:
            source.write(index)
            report.one()
    else:
        _write_parallel(source, missing, min(workers, len(missing)), report)
    return [out / song_name(index) for index in wanted]


class _Report:
    """Counts songs."""

    def __init__(self, progress: Progress | None, wanted: int, done: int) -> None:
        self.progress, self.wanted, self.done = progress, wanted, done
        self._tell()

    def one(self) -> None:
        """Another song is done."""
        self.done += 1
        self._tell()

    def _tell(self) -> None:
        if self.progress is not None:
            self.progress(self.done, self.wanted)


@dataclass(frozen=True)
class _Source:
    """What all songs of a songbook are made of, and where they go."""

    out: Path
    settings: SongbookSettings
    loops: LoopLibrary | None
    effects: tuple[Processor, ...]
    material: RealMaterial | None

    def write(self, index: int) -> None:
        """Write a song that is not there yet."""
        if not is_written(self.out, song_name(index)):
            song = make_song(self.settings, index, self.loops, self.effects, self.material)
            write_song(song, self.settings, self.out)


_worker_source: list[_Source] = []
"""In a worker: its songbook, sent once, since a large material takes longer to send than a song to make."""


def _start(source: _Source) -> None:
    start_worker(1)
    _worker_source[:] = [source]


def _write_in_worker(index: int) -> None:
    _worker_source[0].write(index)


def _write_parallel(source: _Source, missing: list[int], workers: int, report: _Report) -> None:
    """Write songs by a pool of fresh processes; a pool that loses a worker is replaced for the songs that are left."""
    left = set(missing)
    for attempt in range(1, _BROKEN_POOLS + 1):
        try:
            _run_pool(source, left, workers, report)
            return
        except BrokenProcessPool:
            for index in [index for index in left if is_written(source.out, song_name(index))]:
                left.discard(index)
                report.one()
            if attempt == _BROKEN_POOLS:
                raise SongError(
                    f"workers died {attempt} times while {len(left)} songs of {source.out} were left; is there memory "
                    f"for {workers} of them? Run it again with fewer to continue."
                ) from None


def _run_pool(source: _Source, left: set[int], workers: int, report: _Report) -> None:
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start, initargs=(source,))
    try:
        waiting = sorted(left, reverse=True)
        running: dict[Future[None], int] = {}
        while waiting or running:
            while waiting and len(running) < workers * _SONGS_AT_ONCE:
                index = waiting.pop()
                running[pool.submit(_write_in_worker, index)] = index
            future = next(as_completed(running))
            future.result()
            left.discard(running.pop(future))
            report.one()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
