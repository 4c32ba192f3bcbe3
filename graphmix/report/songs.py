"""The song of a run, found again by the paths that the run's metrics name, or in a folder that is given."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from graphmix.audio.files import AudioInfo, read_audio, read_info
from graphmix.audio.song import Song, Track, load_song, load_stems
from graphmix.audio.song_places import is_song
from graphmix.errors import SongError
from graphmix.search.residual import RESIDUAL_TRACK, add_track


def find_song(
    folder: Path, metrics: dict[str, Any], sample_rate: int, given: Path | None, inputs: Collection[str]
) -> Song:
    """The song of a run at a rate; what the run's metrics name is neither decoded nor checked again.

    Args:
        folder: of the run.
        metrics: its ``metrics.json``.
        sample_rate: working rate in Hz.
        given: a folder of the song, if its files are not where they were.
        inputs: of the run's graph, among which may be the residual track, which lies in the run's folder.

    Raises:
        SongError: a file is not where it was.
    """
    path = folder / RESIDUAL_TRACK
    residual = path if RESIDUAL_TRACK in inputs and path.is_file() else None
    if given is not None:
        song = load_song(given, sample_rate, need_mix=False) if is_song(given) else load_stems(given, sample_rate)
    else:
        song = _by_paths(metrics.get("source"), str(metrics.get("song", folder.name)), sample_rate)
    if residual is not None and RESIDUAL_TRACK not in song.track_names:
        audio = torch.zeros(2, song.num_samples)
        if song.is_preloaded:
            audio = read_audio(residual, 0, song.num_samples, song.sample_rate)
        song = add_track(song, residual, audio)
    return song


def _by_paths(source: Any, name: str, sample_rate: int) -> Song:
    if not isinstance(source, dict) or not isinstance(source.get("tracks"), dict) or not source["tracks"]:
        raise SongError("the run does not say which files it was made of; give the song's folder with --song.")
    mix: AudioInfo | None = read_info(source["mix"]) if source.get("mix") else None
    tracks = tuple(Track(track, read_info(path)) for track, path in source["tracks"].items() if track != RESIDUAL_TRACK)
    subgroups = {str(bus): tuple(members) for bus, members in source.get("subgroups", {}).items()}
    offset = round(float(source.get("offset", 0.0)) * sample_rate)
    infos = [mix] if mix else [track.info for track in tracks]
    length = max(info.num_samples_at(sample_rate) for info in infos)
    folder = Path(infos[0].path).parent
    return Song(name, folder, sample_rate, tracks, subgroups, mix, length, offset=offset)
