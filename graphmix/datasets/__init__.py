"""Songs in, datasets out: collections of multitrack songs, songs with known answers, mining all of them, mined graphs.

The names below are loaded when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graphmix.datasets.catalogue import read_catalogue, rebuild_catalogue
    from graphmix.datasets.loader import SegmentLoader, add_segment
    from graphmix.datasets.merge import AbsorbRedundant, MergeGains
    from graphmix.datasets.mined import MinedGraphs, MinedGraphsOnDisk
    from graphmix.datasets.mining import mine_all
    from graphmix.datasets.positions import AddDagPositions, AddSpectralPositions
    from graphmix.datasets.records import Record, find_records
    from graphmix.datasets.recovery import Recovery, compare
    from graphmix.datasets.reference import AudioReference
    from graphmix.datasets.songbook.book import write_songbook
    from graphmix.datasets.songbook.settings import SongbookSettings
    from graphmix.datasets.songs import Collection, SongFiles, open_collection
    from graphmix.datasets.statistics import read_runs, write_statistics
    from graphmix.datasets.transforms import AddNodes, DropNodes, PermuteTracks

_WHERE = {
    "AbsorbRedundant": "merge",
    "AddDagPositions": "positions",
    "AddNodes": "transforms",
    "AddSpectralPositions": "positions",
    "AudioReference": "reference",
    "Collection": "songs",
    "DropNodes": "transforms",
    "MergeGains": "merge",
    "MinedGraphs": "mined",
    "MinedGraphsOnDisk": "mined",
    "PermuteTracks": "transforms",
    "Record": "records",
    "Recovery": "recovery",
    "SegmentLoader": "loader",
    "SongFiles": "songs",
    "SongbookSettings": "songbook.settings",
    "add_segment": "loader",
    "compare": "recovery",
    "find_records": "records",
    "mine_all": "mining",
    "open_collection": "songs",
    "read_catalogue": "catalogue",
    "read_runs": "statistics",
    "rebuild_catalogue": "catalogue",
    "write_songbook": "songbook.book",
    "write_statistics": "statistics",
}

__all__ = [
    "AbsorbRedundant",
    "AddDagPositions",
    "AddNodes",
    "AddSpectralPositions",
    "AudioReference",
    "Collection",
    "DropNodes",
    "MergeGains",
    "MinedGraphs",
    "MinedGraphsOnDisk",
    "PermuteTracks",
    "Record",
    "Recovery",
    "SegmentLoader",
    "SongFiles",
    "SongbookSettings",
    "add_segment",
    "compare",
    "find_records",
    "mine_all",
    "open_collection",
    "read_catalogue",
    "read_runs",
    "rebuild_catalogue",
    "write_songbook",
    "write_statistics",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'graphmix.datasets' has no attribute {name!r}")
    return getattr(import_module(f"graphmix.datasets.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
