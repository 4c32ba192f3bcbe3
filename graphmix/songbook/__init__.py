"""Synthetic datasets, called songbooks: songs, their dry tracks, and the true graph of each mix.

Parts are synthesized, or cut from your own loops; consoles are drawn as real sessions are; what is decided follows
from what is measured, from roles and an artist's style, and from a stated amount of chance. Any number of songs comes
from a seed.
"""

from graphmix.songbook.book import write_songbook
from graphmix.songbook.book_song import BookSong, make_song, song_name
from graphmix.songbook.files import read_stored
from graphmix.songbook.loops import LoopLibrary, find_loops
from graphmix.songbook.material import RealMaterial, find_material
from graphmix.songbook.oracle import OracleLoss, oracle_loss, oracle_mix
from graphmix.songbook.settings import SongbookSettings

__all__ = [
    "BookSong",
    "LoopLibrary",
    "OracleLoss",
    "RealMaterial",
    "SongbookSettings",
    "find_loops",
    "find_material",
    "make_song",
    "oracle_loss",
    "oracle_mix",
    "read_stored",
    "song_name",
    "write_songbook",
]
