"""The mix that is to be separated: a file, or that of a song's folder."""

from pathlib import Path

from graphmix.audio.files import AudioInfo, read_info
from graphmix.audio.listing import audio_files
from graphmix.audio.song_folder import find_files
from graphmix.errors import SongError


def find_mix(path: str | Path) -> tuple[AudioInfo, str]:
    """The mix that a path names, and what the song is called.

    Args:
        path: an audio file; a song's folder, whose mix it is; or a folder with one audio file.

    Raises:
        SongError: there is no such file or folder, no mix in it, or one that cannot be read.
    """
    path = Path(path)
    if not path.exists():
        raise SongError(f"{path} does not exist; give an audio file, or a folder with a mix.")
    if not path.is_dir():
        return read_info(path), path.stem
    found = find_files(path, need_mix=False).layout
    if found.mix is not None:
        return read_info(found.mix), found.name
    files = audio_files(path)
    if len(files) != 1:
        raise SongError(f"{path} holds {len(files)} audio files, none of them named as a mix; name the file itself.")
    return read_info(files[0]), path.resolve().name
