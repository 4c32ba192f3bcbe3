"""Where a song's files are: what its `song.json` says, or what the folder shows.

One finder for a single song (:func:`find_layout`) and for those of a collection (:mod:`graphmix.audio.song_places`,
:func:`find_files`). What the folder means is found in this order, the first that says something wins:

==========  ============================================================================================
tracks      the folder that `song.json` names under `stems`; a folder called stems or dry; the audio files
            beside the mix; a folder called Audio Files, Multitracks, Tracks, ...; the one folder with audio
mix         the given file; `mix` in `song.json`; the file with the best rank (:mod:`graphmix.audio.mix_names`);
            the one audio file beside the tracks' folder; a file beside the song's folder, called after it
subgroups   `subgroups` in `song.json`; a file in the song's folder, or above it, that says which subgroup each
            track belongs to (:mod:`graphmix.audio.subgroups`); for tracks in stems or dry, one bus for all;
            else a guess from their names (:mod:`graphmix.audio.subgroup_guess`)
==========  ============================================================================================

What keeps a song from being used is a *problem*; audio that is not used and whatever was assumed is a *notice*.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from graphmix.audio.listing import (
    audio_files,
    broken_links,
    holds_audio,
    some_names,
    subfolders,
    track_name,
    tracks_by_name,
    unread_audio,
)
from graphmix.audio.mix_names import called_after, mix_rank, squash
from graphmix.audio.offset import NO_OFFSET, Offset
from graphmix.audio.song_description import DESCRIPTION, Description, read_description
from graphmix.audio.song_places import (
    MINED_FILES,
    OTHER_STEM_FOLDERS,
    STEM_FOLDERS,
    Place,
    find_place,
    folders_with_audio,
    holds_song,
    is_mined,
    walk,
)
from graphmix.audio.subgroup_guess import guess_notice, guess_subgroups
from graphmix.audio.subgroups import DEFAULT_BUS, Correspondence, Grouping, find_correspondence, group, subgroups_of
from graphmix.errors import SongError
from graphmix.text import name_as_text

ALIGNMENT = "alignment.pickle"
"""Offsets in the data layout of the pruning paper's authors: a pickle, which could run code and is not read."""


@dataclass(frozen=True)
class Layout:
    """A song's name, mix, dry tracks by name in natural order, and subgroups (bus -> names of tracks).

    `offset` is how far the mix lies behind the tracks.
    """

    name: str
    mix: Path | None
    tracks: dict[str, Path]
    subgroups: dict[str, tuple[str, ...]]
    notices: tuple[str, ...] = ()
    offset: Offset = NO_OFFSET


@dataclass(frozen=True)
class FoundFiles:
    """The files of a song, and what is wrong with them.

    `is_named` says that a song.json names the song, which else is called after its folder. `guess` is the sentence
    about subgroups that were guessed; it is dropped when others are given.
    """

    layout: Layout
    is_named: bool = False
    artist: str | None = None
    genre: str | None = None
    problems: tuple[str, ...] = ()
    guess: str | None = None


def find_layout(folder: Path, need_mix: bool = True, mix: Path | None = None, offset: Offset | None = None) -> Layout:
    """Find a song's files; `mix` and `offset` stand for the song's own.

    Raises:
        SongError: the folder or what it must hold is missing, its song.json is wrong, or it is no song.
    """
    _refuse_what_is_no_song(folder)
    found = find_files(folder, need_mix=need_mix, mix=mix, offset=offset)
    if found.problems:
        raise SongError(" ".join(found.problems))
    notices = (*found.layout.notices, *([found.guess] if found.guess else []))
    return replace(found.layout, notices=notices)


def flat_layout(folder: Path) -> Layout:
    """All audio files in a bare folder as dry tracks, but for one that is called mix.

    In a folder that is not called as folders of tracks are, neither is a file that is the mix by its name otherwise.
    """
    bare = squash(folder.resolve().name) in (*STEM_FOLDERS, *OTHER_STEM_FOLDERS)
    ranks = {path: mix_rank(path, folder) for path in audio_files(folder)}
    mixes = [path for path, rank in ranks.items() if rank == 0 or (rank is not None and not bare)]
    if len(mixes) == len(ranks):
        mixes = [path for path, rank in ranks.items() if rank == 0]
    tracks, problems = tracks_by_name(path for path in ranks if path not in mixes)
    problems += [*_not_there(folder, tracks), *_unread_tracks(folder), *link_problems(folder)]
    if problems:
        raise SongError(" ".join(problems))
    notices = [f"{path} lies among the tracks and was left out." for path in mixes]
    return Layout(_name_of(folder), None, tracks, {DEFAULT_BUS: tuple(tracks)}, (*notices, *_left_out(folder, folder)))


def find_files(
    folder: Path,
    *,
    need_mix: bool = True,
    mix: Path | None = None,
    offset: Offset | None = None,
    collection: Correspondence | None = None,
    names: tuple[str, ...] = (),
) -> FoundFiles:
    """Find a song's files; what is missing becomes its problems.

    Args:
        folder: of the song.
        need_mix: whether a missing mix is a problem.
        mix: path that stands for the song's own mix.
        offset: stands for the song's own offset.
        collection: the collection's file of subgroups.
        names: of the song, beside that of its folder, under which `collection` may have it.

    Raises:
        SongError: the folder cannot be read, or a file that describes the song cannot be used.
    """
    described = read_description(folder)
    place = find_place(folder, described, mix or described.mix)
    files = audio_files(folder)
    candidates = _mix_candidates(folder, files, place)
    problems = [place.problem] if place.problem else []
    chosen, mix_problem = (mix, None) if mix else _choose_mix(folder, described, candidates, place)
    if mix_problem and (need_mix or described.mix):
        problems.append(mix_problem)
    tracks, track_problems = _tracks(folder, place.folder, chosen, candidates)
    problems += track_problems
    entry_of = _Sources(collection, (*names, folder.name))
    grouping, own_offset, guess = entry_of.group(folder, described, place, list(tracks))
    notices = (*described.notices, *_unused(folder, place, chosen, candidates, files), *grouping.notices)
    layout = Layout(
        name=described.name or _name_of(folder),
        mix=chosen,
        tracks=tracks,
        subgroups=grouping.subgroups,
        notices=notices,
        offset=offset if offset is not None else described.offset or own_offset or NO_OFFSET,
    )
    return FoundFiles(
        layout, described.name is not None, described.artist, described.genre, (*problems, *grouping.problems), guess
    )


# --- which files are the tracks


def _tracks(
    folder: Path, place: Path | None, mix: Path | None, candidates: list[Path]
) -> tuple[dict[str, Path], list[str]]:
    """The tracks by their names -> tracks, problems."""
    if place is None:
        return {}, []
    excluded = [mix] if mix else []
    excluded += candidates if place == folder else []
    outside = {path.resolve() for path in excluded}
    tracks, problems = tracks_by_name(path for path in audio_files(place) if path.resolve() not in outside)
    places = dict.fromkeys([folder, place])
    links = [problem for path in places for problem in link_problems(path)]
    return tracks, [*problems, *_not_there(place, tracks), *_unread_tracks(place), *links]


def _not_there(place: Path, tracks: dict[str, Path]) -> list[str]:
    if tracks or unread_audio(place):
        return []
    below = [child.name for child in folders_with_audio(place)]
    if below:
        return [f"{place} has no tracks itself, and audio in the folders {some_names(below)}: move it up into {place}."]
    return [f"{place} has no tracks: put the dry tracks into it, as WAV, FLAC, Ogg or MP3."]


def _unread_tracks(place: Path) -> list[str]:
    names = [track_name(path) for path in unread_audio(place)]
    if not names:
        return []
    return [
        f"{some_names(names)} in {place} is audio of a kind that is not read: convert it to WAV or FLAC "
        "(or add the ending, if it lacks one)."
    ]


def link_problems(folder: Path) -> list[str]:
    """The problem of links in a folder to audio that is not there, or none."""
    links = broken_links(folder)
    if not links:
        return []
    names = some_names([track_name(path) for path in links])
    what = "1 link leads" if len(links) == 1 else f"{len(links)} links lead"
    return [f"in {folder} {what} to no file ({names}): correct or remove {'it' if len(links) == 1 else 'them'}."]


# --- which file is the mix


def _mix_candidates(folder: Path, files: list[Path], place: Place) -> list[Path]:
    """Audio files in the song's folder that may be the mix, best first; without names that say so, all."""
    ranked = {path: rank for path in files if (rank := mix_rank(path, folder)) is not None}
    if ranked or place.folder == folder:
        return sorted(ranked, key=lambda path: ranked[path])
    return files


def _choose_mix(
    folder: Path, described: Description, candidates: list[Path], place: Place
) -> tuple[Path | None, str | None]:
    """The song's mix -> mix, problem."""
    if described.mix:
        if described.mix.is_file():
            return described.mix, None
        return None, f'{described.mix} is not a file: check the name under "mix" in {described.path}.'
    none = f'{folder} has no mix: put mix.wav (or .flac, .ogg, .mp3) into it, or name it under "mix" in {DESCRIPTION}.'
    if described.has_no_mix:
        return None, none
    candidates = candidates or _beside(folder)
    if not candidates:
        unread = [path.name for path in unread_audio(folder)] if place.folder != folder else []
        return (
            None,
            f"{none} {some_names(unread)} is of a kind that is not read: convert it to WAV or FLAC."
            if unread
            else none,
        )
    best = [path for path in candidates if mix_rank(path, folder) == mix_rank(candidates[0], folder)]
    if len(best) == 1:
        return best[0], None
    names = some_names([track_name(path) for path in best])
    return None, (
        f"{folder} has {len(best)} files that may be the mix ({names}): "
        f'call one mix{best[0].suffix}, or name it under "mix" in {DESCRIPTION}.'
    )


def _beside(folder: Path) -> list[Path]:
    """Files beside a folder that are called after it."""
    try:
        return [path for path in audio_files(folder.parent) if called_after(path, folder)]
    except SongError:
        return []


# --- which subgroup each track belongs to


@dataclass(frozen=True)
class _Sources:
    """Where the subgroups of a song may come from beside its own folder."""

    collection: Correspondence | None
    names: tuple[str, ...]

    def group(
        self, folder: Path, described: Description, place: Place, tracks: list[str]
    ) -> tuple[Grouping, Offset | None, str | None]:
        """Subgroups from the first source that has them -> grouping, offset of the mix, sentence about a guess."""
        if described.subgroups:
            return group(tracks, described.subgroups, DESCRIPTION, as_listed=True), None, None
        inner = place.folder if place.folder and place.folder != folder else None
        sources = [find_correspondence(folder), find_correspondence(inner) if inner else None]
        sources.append(self.collection or _above(folder))
        for source in filter(None, sources):
            entry = source.of(*self.names)
            if entry is not None:
                return group(tracks, entry, source.source.name), entry.offset, None
        if place.is_plain:
            return Grouping({DEFAULT_BUS: tuple(tracks)} if tracks else {}), None, None
        guesses = guess_subgroups(tracks)
        subgroups = subgroups_of({track: guess.bus for track, guess in guesses.items()}, tracks)
        return Grouping(subgroups), None, guess_notice(guesses) if tracks else None


def _above(folder: Path) -> Correspondence | None:
    """The file of subgroups beside a song, where it names songs; one of a single song is another's."""
    found = find_correspondence(folder.parent)
    return found if found and "" not in found.songs else None


# --- what is not used


def _unused(folder: Path, place: Place, mix: Path | None, candidates: list[Path], files: list[Path]) -> Iterator[str]:
    """Sentences about audio of the song's folder that is neither its mix nor one of its tracks."""
    beside = files if place.folder != folder else candidates
    if place.folder and (names := [track_name(path) for path in beside if path != mix]):
        yield f"{some_names(names)} left out: neither the mix nor among the tracks."
    if place.folder and place.folder != folder and (unread := [track_name(path) for path in unread_audio(folder)]):
        yield f"{some_names(unread)} in {folder} is audio of a kind that is not read: convert it to WAV or FLAC."
    if place.folder:
        yield from _left_out(folder, place.folder, mix)
    if (folder / ALIGNMENT).exists():
        yield (
            f"{folder / ALIGNMENT} is not read, as a pickle may run code: give the offset of the mix in seconds "
            f'under "offset" in {DESCRIPTION}, or by --offset.'
        )


def _left_out(folder: Path, place: Path, mix: Path | None = None) -> Iterator[str]:
    """Sentences about audio in subfolders of the song's and of the tracks' folder."""
    within = {place, *place.parents, *(mix.parents if mix else ())}
    ignored = [child for path in dict.fromkeys([folder, place]) for child in subfolders(path) if child not in within]
    if mined := [track_name(child) for child in ignored if is_mined(child)]:
        yield f"mined folders in {folder} were left out: {some_names(mined)}."
    names = [track_name(child) for child in ignored if holds_audio(child) and not is_mined(child)]
    if names:
        yield f"audio in the folders {some_names(names)} was left out."


# --- folders that are no song


def _refuse_what_is_no_song(folder: Path) -> None:
    """Say what a folder is that is not one song: a collection, the output of a search."""
    audio_files(folder)  # raises if there is no such folder
    if is_mined(folder):
        graph = folder / MINED_FILES[0]
        raise SongError(f"{folder} is the output of a search, not a song: see graphmix show {graph}.")
    if (folder / f"{folder.name}_RAW").is_dir():
        raise SongError(
            f"{folder} is a song of MedleyDB, whose metadata are read in collections alone: list it by graphmix songs "
            f"{folder}, mine it by graphmix mine-all {folder}."
        )
    if holds_song(folder):
        return
    songs = [path.relative_to(folder).as_posix() for path in islice(walk(folder, holds_song), 5)]
    if songs:
        more = "at least 5" if len(songs) == 5 else str(len(songs))
        raise SongError(
            f"{folder} is a collection of {more} song{'s' * (len(songs) > 1)} ({some_names(songs)}), not one song: "
            f"list it by graphmix songs {folder}, mine it by graphmix mine-all {folder}, or give one of its songs."
        )


def _name_of(folder: Path) -> str:
    return name_as_text(folder.resolve().name)
