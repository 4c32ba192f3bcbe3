"""A DAW's export: guessed subgroups, and a song.json that goes before the guess."""

from pathlib import Path

from graphmix.songs.collection import open_collection
from tests.songs.tiny_collections import DAW_TRACKS, write_daw


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
