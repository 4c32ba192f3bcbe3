"""The files of a song: which is the mix, which are the tracks, whose subgroups hold, and what is named as not used."""

import json
import unicodedata
from pathlib import Path

import pytest

from graphmix.audio import load_song
from graphmix.audio.song_folder import find_layout
from graphmix.errors import SongError
from graphmix.songs.collection import SongFiles, open_collection
from tests.songs.tiny_collections import (
    DAW_TRACKS,
    RATE,
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


def test_two_equally_likely_mixes_are_a_problem_that_song_json_solves(tmp_path: Path) -> None:
    write_tracks(tmp_path / "A", TRACKS, tmp_path / "A" / "master.wav")
    write_wav(tmp_path / "A" / "mixdown.wav", noise(3))
    assert "has 2 files that may be the mix (master.wav, mixdown.wav)" in only_song(tmp_path / "A").problems[0]
    (tmp_path / "A" / "song.json").write_text('{"mix": "mixdown.wav"}')
    song = only_song(tmp_path / "A", "daw")
    assert song.problems == ()
    assert song.layout.mix == tmp_path / "A" / "mixdown.wav"


@pytest.mark.parametrize(
    ("description", "message"),
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
def test_a_wrong_song_json_is_a_problem(tmp_path: Path, description: dict[str, object], message: str) -> None:
    write_tracks(tmp_path / "A", TRACKS, tmp_path / "A" / "mix.wav")
    (tmp_path / "A" / "song.json").write_text(json.dumps(description))
    assert message in " ".join(only_song(tmp_path, "daw").problems)


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


@pytest.mark.parametrize("mix", ["Anna_Song_FullPreview.wav", "Anna_Song_Full/Anna_Song_FullPreview.wav"])
def test_archives_that_unpack_into_a_folder_of_their_name_are_one_song(tmp_path: Path, mix: str) -> None:
    write_tracks(tmp_path / "Anna_Song_Full" / "Anna_Song_Full", TRACKS, None)
    write_wav(tmp_path / mix, noise(5))
    song = only_song(tmp_path)
    assert song.id == "Anna_Song_Full"
    assert song.problems == ()
    assert song.layout.mix == tmp_path / mix
    assert tuple(song.layout.tracks) == TRACKS
    assert find_layout(tmp_path / "Anna_Song_Full").mix == tmp_path / mix


def test_one_bwf_file_is_a_track_as_any_wav(tmp_path: Path) -> None:
    write_tracks(tmp_path / "A" / "stems", TRACKS, tmp_path / "A" / "mix.wav")
    (tmp_path / "A" / "stems" / TRACKS[0]).rename(tmp_path / "A" / "stems" / "01_Kick.bwf")
    assert "01_Kick.bwf" in load_song(tmp_path / "A", RATE).track_names


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


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("subgroup", "subgroups"),
        ("Sub-Groups", "subgroups"),
        ("stem", "stems"),
        ("offsets", "offset"),
        ("title", "name"),
    ],
)
def test_a_mistyped_key_is_named_with_the_one_that_is_meant(tmp_path: Path, key: str, meant: str) -> None:
    folder = song_in(tmp_path)
    (folder / "song.json").write_text(json.dumps({key: {"a": "b"}, "bpm": 120, "facts": {}, "roles": {}, "taste": {}}))
    (notice,) = find_layout(folder).notices
    assert f'has the key "{key}", which is not read: "{meant}" is meant?' in notice


def test_mined_folders_are_neither_songs_nor_tracks(tmp_path: Path) -> None:
    folder = song_in(tmp_path)
    for mined in (folder / "mined", tmp_path / "B"):
        write_wav(mined / "mix.wav", noise(1))
        (mined / "run.json").write_text("{}")
        (mined / "graph.safetensors").touch()
    song = only_song(tmp_path)
    assert song.problems == ()
    assert song.layout.notices[0] == f"mined folders in {folder} were left out: mined."
    assert open_collection(tmp_path).notices == ("mined folders were left out: B.",)


def test_a_description_in_utf16_is_read_and_one_in_latin1_named(tmp_path: Path) -> None:
    folder = song_in(tmp_path)
    (folder / "song.json").write_text('{"name": "Söng"}', encoding="utf-16")
    assert find_layout(folder).name == "Söng"
    (folder / "song.json").write_text('{"name": "Söng"}', encoding="latin-1")
    with pytest.raises(SongError, match="is not UTF-8 text; it may be Latin-1"):
        find_layout(folder)


def test_one_song_of_medleydb_points_to_the_collection(tmp_path: Path) -> None:
    folder = tmp_path / "Anna_Song"
    write_tracks(folder / "Anna_Song_RAW", TRACKS, folder / "Anna_Song_MIX.wav")
    write_tracks(folder / "Anna_Song_STEMS", TRACKS, None)
    with pytest.raises(SongError, match="is one song of MedleyDB"):
        find_layout(folder)


def test_an_empty_object_of_subgroups_says_nothing(tmp_path: Path) -> None:
    folder = song_in(tmp_path)
    (folder / "song.json").write_text('{"subgroups": {}}')
    assert find_layout(folder).subgroups == {"mix bus": TRACKS}
