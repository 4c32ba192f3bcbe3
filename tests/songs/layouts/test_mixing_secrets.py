"""The Mixing Secrets library: correspondence files, previews, and the layout of the pruning paper's authors."""

import json
from pathlib import Path

import pytest

from graphmix.audio.song_folder import find_layout
from graphmix.songs.collection import open_collection
from tests.songs.tiny_collections import SECRETS, noise, write_mixing_secrets, write_tracks, write_wav

TRACKS = ("01_Kick.wav", "02_Bass.wav")


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


def test_a_file_above_the_song_gives_the_subgroups_to_one_song_too(tmp_path: Path) -> None:
    root = write_mixing_secrets(tmp_path)
    for name, groups in SECRETS.items():
        layout = find_layout(root / f"{name}_Full")
        assert layout.subgroups == {bus: tuple(names) for bus, names in groups.items()}


# --- the data of the pruning paper's authors

BLOCK = "Drum:\n  - 01_Kick.wav\nBass:\n  - 02_Bass.wav\n"
FLOW = "{Drum: [01_Kick.wav], Bass: [02_Bass.wav]}"


@pytest.mark.parametrize("text", [BLOCK, FLOW])
def test_the_layout_of_the_papers_authors_is_read(tmp_path: Path, text: str) -> None:
    for name in ("Anna_One", "Bert_Two"):
        write_tracks(tmp_path / name / f"{name}_Full", TRACKS, tmp_path / name / "mix.wav")
        write_wav(tmp_path / name / "rough_mix.wav", noise(6))
        (tmp_path / name / "correspondence.yaml").write_text(text)
        (tmp_path / name / "alignment.pickle").write_bytes(b"no pickle is opened")
    collection = open_collection(tmp_path)
    assert collection.kind == "mixing-secrets"
    assert [(song.id, song.artist, song.problems) for song in collection] == [
        ("Anna_One", "Anna", ()),
        ("Bert_Two", "Bert", ()),
    ]
    layout = find_layout(tmp_path / "Anna_One")
    assert layout.mix == tmp_path / "Anna_One" / "mix.wav"
    assert layout.subgroups == {"Drum": ("01_Kick.wav",), "Bass": ("02_Bass.wav",)}
    assert any("alignment.pickle is not read" in notice for notice in layout.notices)
    assert any("rough_mix.wav left out" in notice for notice in layout.notices)
