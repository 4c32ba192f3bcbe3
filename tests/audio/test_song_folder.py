"""Tracks and mix side by side: which file is the mix, which song it is, whose subgroups hold."""

import json
from pathlib import Path

import pytest

from graphmix.songs.collection import SongFiles, open_collection
from tests.songs.tiny_collections import (
    DAW_TRACKS,
    SECRETS,
    noise,
    write_daw,
    write_mixing_secrets,
    write_plain_song,
    write_tracks,
    write_wav,
)

TRACKS = ("01_Kick.wav", "02_Bass.wav")


def only_song(root: Path, kind: str = "auto") -> SongFiles:
    (song,) = open_collection(root, kind)
    return song


# --- Mixing Secrets


def test_the_correspondence_gives_the_subgroups_and_the_folder_the_artist(tmp_path: Path) -> None:
    collection = open_collection(write_mixing_secrets(tmp_path / "anything"))
    assert (collection.kind, collection.name) == ("mixing-secrets", "mixing-secrets")
    for song, (name, groups) in zip(collection, SECRETS.items(), strict=True):
        assert song.id == f"{name}_Full"
        assert (song.layout.name, song.artist) == (name, name.split("_")[0])
        assert song.layout.subgroups == {bus: tuple(names) for bus, names in groups.items()}
        assert song.layout.notices == ()


def test_the_mix_may_lie_in_the_folder_or_beside_it(tmp_path: Path) -> None:
    first, second = open_collection(write_mixing_secrets(tmp_path))
    assert first.layout.mix == tmp_path / "AnnaBand_FirstSong_Full" / "AnnaBand_FirstSong_FullPreview.wav"
    assert second.layout.mix == tmp_path / "Bert_Second_FullPreview.wav"


def test_tracks_that_the_correspondence_names_and_the_copy_lacks_are_a_problem(tmp_path: Path) -> None:
    root = write_mixing_secrets(tmp_path)
    (root / "AnnaBand_FirstSong_Full" / "02_SnareTop.wav").unlink()
    song = open_collection(root)["AnnaBand_FirstSong_Full"]
    assert (
        "1 of 3 tracks that correspondence.json names are missing ('02_SnareTop.wav' of subgroup 'Drum')"
        in song.problems[0]
    )


def test_a_track_that_the_correspondence_does_not_know_gets_a_bus(tmp_path: Path) -> None:
    root = write_mixing_secrets(tmp_path)
    write_wav(root / "AnnaBand_FirstSong_Full" / "04_Tambourine.wav", noise(7))
    song = open_collection(root)["AnnaBand_FirstSong_Full"]
    assert song.problems == ()
    assert song.layout.subgroups["ungrouped"] == ("04_Tambourine.wav",)
    assert "04_Tambourine.wav in no subgroup" in song.layout.notices[0]


def test_a_song_that_the_correspondence_does_not_know_is_guessed(tmp_path: Path) -> None:
    root = write_mixing_secrets(tmp_path)
    (root / "correspondence.json").write_text(json.dumps({"Bert_Second": SECRETS["Bert_Second"]}))
    song = open_collection(root)["AnnaBand_FirstSong_Full"]
    assert song.layout.subgroups == {"drums": ("01_Kick.wav", "02_SnareTop.wav"), "bass": ("03_BassDI.wav",)}
    assert song.layout.notices == (
        "Subgroups were guessed from the names of the tracks: drums 2 (kick, snare); bass 1 (bass).",
    )


def test_without_correspondence_the_archives_names_show_the_kind(tmp_path: Path) -> None:
    root = write_mixing_secrets(tmp_path)
    (root / "correspondence.json").unlink()
    collection = open_collection(root)
    assert collection.kind == "mixing-secrets"
    assert collection.usable == collection.songs


def test_a_songs_own_file_beats_the_collections(tmp_path: Path) -> None:
    root = write_mixing_secrets(tmp_path)
    own = "track;subgroup\n01_kick;low\n02_SNARETOP.wav;high\n03_BassDI.wav;low\n"
    (root / "AnnaBand_FirstSong_Full" / "subgroups.csv").write_text(own, encoding="utf-8-sig")
    song = open_collection(root)["AnnaBand_FirstSong_Full"]
    assert song.layout.subgroups == {"low": ("01_Kick.wav", "03_BassDI.wav"), "high": ("02_SnareTop.wav",)}


def test_a_wrong_file_in_a_song_is_its_problem(tmp_path: Path) -> None:
    root = write_mixing_secrets(tmp_path)
    (root / "Bert_Second_Full" / "subgroups.json").write_text("[]")
    collection = open_collection(root)
    assert "names no tracks" in collection["Bert_Second_Full"].problems[0]
    assert [song.id for song in collection.usable] == ["AnnaBand_FirstSong_Full"]


# --- a DAW's export


def test_subgroups_are_guessed_and_the_guess_is_stated(tmp_path: Path) -> None:
    collection = open_collection(write_daw(tmp_path / "exports"))
    assert (collection.kind, collection.name) == ("daw", "exports")
    hello = collection["Hello"]
    assert {track: bus for bus, tracks in hello.layout.subgroups.items() for track in tracks} == DAW_TRACKS
    (notice,) = hello.layout.notices
    assert notice.startswith("Subgroups were guessed from the names of the tracks: ")
    assert "drums 2 (oh, kick)" in notice or "drums 2 (kick, oh)" in notice


def test_song_json_overrides_the_guess_and_names_the_mix(tmp_path: Path) -> None:
    world = open_collection(write_daw(tmp_path))["World"]
    assert world.layout.mix == tmp_path / "World" / "bounce.wav"
    assert world.artist == "Anna"
    assert world.layout.subgroups == {"all": ("a.wav", "b.wav"), "ungrouped": ("c.wav",)}
    assert not any("guessed" in notice for notice in world.layout.notices)


def test_the_folder_itself_may_be_the_song(tmp_path: Path) -> None:
    folder = tmp_path / "My Song"
    write_tracks(folder, TRACKS, folder / "mix.wav")
    song = only_song(folder)
    assert (song.id, song.layout.name) == ("My Song", "My Song")
    assert tuple(song.layout.tracks) == TRACKS
    assert song.problems == ()


@pytest.mark.parametrize(
    "name",
    [
        "mix.wav",
        "MIX.wav",
        "Mixdown.wav",
        "master.wav",
        "My Song.wav",
        "MySong_Mix.wav",
        "my-song (full mix).wav",
        "My_Song_FullPreview.wav",
        "Another Title Final Mix.wav",
        "The Guitar Man_FullPreview.wav",
    ],
)
def test_a_mix_is_known_by_its_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "My Song"
    write_tracks(folder, TRACKS, folder / name)
    song = only_song(folder)
    assert song.layout.mix == folder / name
    assert tuple(song.layout.tracks) == TRACKS


@pytest.mark.parametrize("name", ["03_Mix.wav", "Room Mix.wav", "Guitars Mix.wav", "Mixolydian Lead.wav"])
def test_a_track_is_not_taken_for_the_mix(tmp_path: Path, name: str) -> None:
    write_tracks(tmp_path / "A", (*TRACKS, name), tmp_path / "A" / "mix.wav")
    assert name in only_song(tmp_path / "A").layout.tracks


def test_the_surest_mix_is_taken_and_the_others_are_no_tracks(tmp_path: Path) -> None:
    write_tracks(tmp_path / "A", TRACKS, tmp_path / "A" / "mix.wav")
    write_wav(tmp_path / "A" / "A_FullPreview.wav", noise(3))
    song = only_song(tmp_path / "A")
    assert song.layout.mix == tmp_path / "A" / "mix.wav"
    assert tuple(song.layout.tracks) == TRACKS
    assert "A_FullPreview.wav left out" in song.layout.notices[0]


def test_two_equally_likely_mixes_are_a_problem_that_song_json_mends(tmp_path: Path) -> None:
    write_tracks(tmp_path / "A", TRACKS, tmp_path / "A" / "master.wav")
    write_wav(tmp_path / "A" / "mixdown.wav", noise(3))
    assert "has 2 files that may be the mix (master.wav, mixdown.wav)" in only_song(tmp_path / "A").problems[0]
    (tmp_path / "A" / "song.json").write_text('{"mix": "mixdown.wav"}')
    song = only_song(tmp_path / "A", "daw")
    assert song.problems == ()
    assert song.layout.mix == tmp_path / "A" / "mixdown.wav"


@pytest.mark.parametrize(
    ("description", "told"),
    [
        ({"mix": None}, "has no mix"),
        ({"mix": "gone.wav"}, "gone.wav is not a file: check the name"),
        ({"mix": "../mix.wav"}, "leads out of the song's folder"),
        ({"mix": "C:/mix.wav"}, "leads out of the song's folder"),
        ({"mix": 3}, "expected a name in quotes"),
        ({"subgroups": {"drums": ["gone.wav"]}}, "1 of 1 tracks that song.json names are missing"),
        ({"subgroups": {"a": ["01_Kick.wav"], "b": ["01_Kick.wav"]}}, "into 'a' and into 'b'"),
        ({"subgroups": [1]}, "neither bus -> list of tracks nor track -> bus"),
    ],
)
def test_a_wrong_song_json_is_told(tmp_path: Path, description: dict[str, object], told: str) -> None:
    write_tracks(tmp_path / "A", TRACKS, tmp_path / "A" / "mix.wav")
    (tmp_path / "A" / "song.json").write_text(json.dumps(description))
    assert told in " ".join(only_song(tmp_path, "daw").problems)


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


def test_audio_beside_several_songs_is_of_none_of_them(tmp_path: Path) -> None:
    for name in ("A", "B"):
        write_tracks(tmp_path / name, TRACKS, tmp_path / name / "mix.wav")
    write_wav(tmp_path / "Kick sample.wav", noise(4))
    collection = open_collection(tmp_path)
    assert [song.id for song in collection.usable] == ["A", "B"]
    assert collection.notices == ("Kick sample.wav beside the songs belongs to none of them.",)


def test_a_mix_alone_is_no_whole_song(tmp_path: Path) -> None:
    write_tracks(tmp_path / "A", TRACKS, tmp_path / "A" / "mix.wav")
    song_folder = tmp_path / "B"
    write_tracks(song_folder, TRACKS, None)
    collection = open_collection(tmp_path)
    assert "has no mix" in collection["B"].problems[0]
    assert collection["A"].problems == ()


def test_plain_songs_among_exports_are_read_as_such(tmp_path: Path) -> None:
    write_tracks(tmp_path / "A", TRACKS, tmp_path / "A" / "mix.wav")
    write_plain_song(tmp_path / "B", {"artist": "Bert"})
    collection = open_collection(tmp_path, "daw")
    assert [song.id for song in collection.usable] == ["A", "B"]
    assert collection["B"].artist == "Bert"
