"""The files of a song: which is the mix, which are the tracks, whose subgroups hold, and what is named as not used."""

import unicodedata
from pathlib import Path

import pytest

from graphmix.audio import load_song
from graphmix.audio.song_folder import find_layout
from graphmix.errors import SongError
from graphmix.songs.collection import SongFiles, open_collection
from tests.songs.tiny_collections import (
    RATE,
    noise,
    write_tracks,
    write_wav,
)

TRACKS = ("01_Kick.wav", "02_Bass.wav")


def only_song(root: Path, kind: str = "auto") -> SongFiles:
    (song,) = open_collection(root, kind)
    return song


def test_the_folder_itself_may_be_the_song(tmp_path: Path) -> None:
    folder = tmp_path / "My Song"
    write_tracks(folder, TRACKS, folder / "mix.wav")
    song = only_song(folder)
    assert (song.id, song.layout.name) == ("My Song", "My Song")
    assert tuple(song.layout.tracks) == TRACKS
    assert song.problems == ()


def test_the_surest_mix_is_taken_and_the_others_are_no_tracks(tmp_path: Path) -> None:
    write_tracks(tmp_path / "A", TRACKS, tmp_path / "A" / "mix.wav")
    write_wav(tmp_path / "A" / "A_FullPreview.wav", noise(3))
    song = only_song(tmp_path / "A")
    assert song.layout.mix == tmp_path / "A" / "mix.wav"
    assert tuple(song.layout.tracks) == TRACKS
    assert "A_FullPreview.wav left out" in song.layout.notices[0]


def test_two_equally_likely_mixes_are_a_problem_that_song_json_solves(tmp_path: Path) -> None:
    write_tracks(tmp_path / "A", TRACKS, tmp_path / "A" / "master.wav")
    write_wav(tmp_path / "A" / "mixdown.wav", noise(3))
    assert "has 2 files that may be the mix (master.wav, mixdown.wav)" in only_song(tmp_path / "A").problems[0]
    (tmp_path / "A" / "song.json").write_text('{"mix": "mixdown.wav"}')
    song = only_song(tmp_path / "A", "daw")
    assert song.problems == ()
    assert song.layout.mix == tmp_path / "A" / "mixdown.wav"


def test_tracks_may_lie_in_the_one_folder_beside_the_mix(tmp_path: Path) -> None:
    write_tracks(tmp_path / "A" / "Audio Files", TRACKS, tmp_path / "A" / "mix.wav")
    song = only_song(tmp_path)
    assert song.id == "A"
    assert tuple(song.layout.tracks) == TRACKS


def test_audio_below_the_tracks_is_left_out_with_a_notice(tmp_path: Path) -> None:
    write_tracks(tmp_path / "A", TRACKS, tmp_path / "A" / "mix.wav")
    write_wav(tmp_path / "A" / "alternatives" / "Kick 2.wav", noise(4))
    song = only_song(tmp_path / "A")
    assert tuple(song.layout.tracks) == TRACKS
    assert "audio in the folders alternatives was left out." in song.layout.notices


# --- where tracks may lie


@pytest.mark.parametrize("name", ["Stems", "Dry", "Audio Files", "Multitracks", "tracks", "AUDIO", "Whatever"])
def test_one_song_and_a_collection_find_the_same_files(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "A"
    write_tracks(folder / name, TRACKS, folder / "mix.wav")
    layout = find_layout(folder)
    assert tuple(layout.tracks) == TRACKS
    song = only_song(tmp_path)
    assert song.problems == ()
    assert (song.layout.mix, song.layout.tracks) == (layout.mix, layout.tracks)
    assert song.layout.subgroups == layout.subgroups
    assert song.layout.notices == layout.notices


def test_tracks_and_mix_side_by_side_are_one_song_for_every_reader(tmp_path: Path) -> None:
    write_tracks(tmp_path / "A", TRACKS, tmp_path / "A" / "A mix.wav")
    layout = find_layout(tmp_path / "A")
    assert layout.mix == tmp_path / "A" / "A mix.wav"
    assert layout.subgroups == {"drums": ("01_Kick.wav",), "bass": ("02_Bass.wav",)}
    assert "Subgroups were guessed" in layout.notices[-1]


def test_one_bwf_file_is_a_track_as_any_wav(tmp_path: Path) -> None:
    write_tracks(tmp_path / "A" / "stems", TRACKS, tmp_path / "A" / "mix.wav")
    (tmp_path / "A" / "stems" / TRACKS[0]).rename(tmp_path / "A" / "stems" / "01_Kick.bwf")
    assert "01_Kick.bwf" in load_song(tmp_path / "A", RATE).track_names


# --- what is not used is named


def song_in(tmp_path: Path) -> Path:
    write_tracks(tmp_path / "A" / "stems", TRACKS, tmp_path / "A" / "mix.wav")
    return tmp_path / "A"


def test_audio_in_subfolders_is_named(tmp_path: Path) -> None:
    folder = song_in(tmp_path)
    write_wav(folder / "stems" / "Strings" / "Violin.wav", noise(7))
    write_wav(folder / "Wet" / "Print.wav", noise(8))
    assert find_layout(folder).notices == ("audio in the folders Wet, Strings was left out.",)


def test_tracks_that_all_lie_in_subfolders_are_a_problem_that_names_them(tmp_path: Path) -> None:
    folder = tmp_path / "A"
    for place in ("Drums", "Bass"):
        write_tracks(folder / "stems" / place, TRACKS, folder / "mix.wav")
    with pytest.raises(
        SongError, match=r"stems has no tracks itself, and audio in the folders Bass, Drums: move it up"
    ):
        find_layout(folder)


@pytest.mark.parametrize("name", ["x.m4a", "x.AAC", "x.wma", "x.mp2", "x.webm", "no ending"])
def test_audio_that_is_not_read_is_a_problem_among_the_tracks_and_a_notice_beside_them(
    tmp_path: Path, name: str
) -> None:
    folder = song_in(tmp_path)
    content = (folder / "mix.wav").read_bytes()
    (folder / name).write_bytes(content)
    assert f"{name} in {folder} is audio of a kind that is not read" in find_layout(folder).notices[0]
    (folder / "stems" / name).write_bytes(content)
    with pytest.raises(
        SongError, match=rf"{name} in .* is audio of a kind that is not read: convert it to WAV or FLAC"
    ):
        find_layout(folder)
    assert name in only_song(tmp_path).problems[0]


def test_a_text_file_without_an_ending_is_ignored(tmp_path: Path) -> None:
    folder = song_in(tmp_path)
    (folder / "stems" / "README").write_text("RIFF is not all of it")
    assert find_layout(folder).notices == ()


def test_links_that_lead_nowhere_are_a_problem_of_one_song_too(tmp_path: Path) -> None:
    folder = song_in(tmp_path)
    for number in range(2):
        (folder / "stems" / f"{number}.wav").symlink_to(tmp_path / "gone.wav")
    with pytest.raises(SongError, match=r"2 links lead to no file \(0\.wav, 1\.wav\): correct or remove them"):
        find_layout(folder)


def test_names_that_differ_in_their_unicode_form_alone_are_a_problem(tmp_path: Path) -> None:
    folder = song_in(tmp_path)
    for form in ("NFC", "NFD"):
        write_wav(folder / "stems" / unicodedata.normalize(form, "café.wav"), noise(9))
    if len(list((folder / "stems").iterdir())) == len(TRACKS) + 1:
        pytest.skip("this file system holds the two names for one")
    with pytest.raises(SongError, match="differ in the Unicode form of their accents alone"):
        find_layout(folder)
