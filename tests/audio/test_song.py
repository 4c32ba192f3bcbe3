"""Songs: what a folder yields; memory and disk give the same samples; one clear error for each fault."""

import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import torchaudio

from graphmix.audio import load_song, load_stems
from graphmix.audio import song as song_module
from graphmix.audio.song import load_layout
from graphmix.audio.song_folder import Layout
from graphmix.errors import SongError

SECOND = 44100


def noise(num_samples: int, channels: int = 2, seed: int = 0) -> np.ndarray:
    return (0.2 * np.random.default_rng(seed).standard_normal((num_samples, channels))).astype(np.float32)


def save(path: Path, samples: np.ndarray, sample_rate: int = 44100) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(
        os.fsencode(path),
        samples,
        sample_rate,
        format=path.suffix[1:].upper(),
        subtype="FLOAT" if path.suffix == ".wav" else None,
    )
    return path


def make_song(folder: Path, description: dict[str, Any] | None = None) -> Path:
    """Kick, snare and bass of a second each, and their sum as the mix."""
    tracks = [noise(SECOND, 2, seed) for seed in range(3)]
    for name, samples in zip(["1_kick.wav", "2_snare.wav", "10_bass.wav"], tracks, strict=True):
        save(folder / "stems" / name, samples)
    save(folder / "mix.wav", sum(tracks))
    if description is not None:
        (folder / "song.json").write_text(json.dumps(description), encoding="utf-8")
    return folder


# --- layout ---


def test_a_folder_without_description_has_one_bus_and_natural_order(tmp_path):
    song = load_song(make_song(tmp_path / "Demo"))
    assert song.name == "Demo"
    assert song.track_names == ("1_kick.wav", "2_snare.wav", "10_bass.wav")
    assert song.subgroups == {"mix bus": song.track_names}
    assert (song.num_tracks, song.num_samples, song.sample_rate) == (3, 30000, 30000)
    assert song.mix is not None
    assert song.mix.path.name == "mix.wav"
    assert song.notices == ()


def test_the_description_names_everything_and_other_keys_are_ignored(tmp_path):
    make_song(tmp_path)
    (tmp_path / "stems").rename(tmp_path / "takes")
    (tmp_path / "mix.wav").rename(tmp_path / "final.wav")
    description = {
        "name": "A Song",
        "mix": "final.wav",
        "stems": "takes",
        "subgroups": {"low": ["10_bass.wav", "1_kick.wav"], "high": ["2_snare.wav"]},
        "licence": {"any": "thing"},
    }
    (tmp_path / "song.json").write_text(json.dumps(description), encoding="utf-8-sig")
    song = load_song(tmp_path)
    assert song.name == "A Song"
    assert song.subgroups == {"low": ("1_kick.wav", "10_bass.wav"), "high": ("2_snare.wav",)}
    assert list(song.subgroups) == ["low", "high"]


def test_the_only_audio_file_in_the_folder_is_the_mix(tmp_path):
    make_song(tmp_path)
    (tmp_path / "mix.wav").rename(tmp_path / "bounce.wav")
    (tmp_path / "cover.jpg").touch()
    song = load_song(tmp_path)
    assert song.mix is not None
    assert song.mix.path.name == "bounce.wav"


def test_a_mix_may_be_given_by_path(tmp_path):
    other = save(tmp_path / "elsewhere" / "other.flac", noise(2 * SECOND))
    song = load_song(make_song(tmp_path / "song", {"mix": None}), mix=other)
    assert song.mix is not None
    assert song.mix.path == other
    assert song.num_samples == 60000


def test_tracks_beside_the_mix_do_not_include_it(tmp_path):
    make_song(tmp_path, {"stems": "stems", "mix": "stems/print.wav"})
    (tmp_path / "mix.wav").rename(tmp_path / "stems" / "print.wav")
    assert load_song(tmp_path).num_tracks == 3


def test_files_that_are_no_audio_are_ignored_among_the_tracks(tmp_path):
    make_song(tmp_path)
    for name in (".DS_Store", "notes.txt", "._1_kick.wav", "README"):
        (tmp_path / "stems" / name).write_text("no audio")
    (tmp_path / "stems" / "more.wav").mkdir()
    assert load_song(tmp_path).num_tracks == 3


def test_tracks_in_no_subgroup_get_a_bus_and_a_notice(tmp_path):
    song = load_song(make_song(tmp_path, {"subgroups": {"drums": ["1_kick.wav"], "empty": []}}))
    assert song.subgroups == {"drums": ("1_kick.wav",), "ungrouped": ("2_snare.wav", "10_bass.wav")}
    assert song.notices == (
        "Subgroup 'empty' of song.json has no tracks and was left out.",
        "2_snare.wav, 10_bass.wav in no subgroup of song.json: put on the bus 'ungrouped'.",
    )


def test_accents_match_in_either_unicode_form(tmp_path):
    composed = "café.wav"
    make_song(tmp_path, {"subgroups": {"b": [composed, "2_snare.wav", "10_bass.wav"]}})
    (tmp_path / "stems" / "1_kick.wav").rename(tmp_path / "stems" / unicodedata.normalize("NFD", composed))
    assert load_song(tmp_path).subgroups == {"b": ("2_snare.wav", "10_bass.wav", composed)}


def test_stems_load_without_a_mix(tmp_path):
    make_song(tmp_path, {"mix": None})
    save(tmp_path / "stems" / "1_kick.wav", noise(2 * SECOND))
    for song in (load_stems(tmp_path), load_song(tmp_path, need_mix=False), load_stems(tmp_path / "stems")):
        assert song.mix is None
        assert song.num_samples == 60000  # of the longest track
        assert song.read(0, 100).mix is None
        assert song.read(0, 100).stems.shape == (3, 2, 100)


def test_a_mix_among_bare_stems_is_left_out_with_a_notice(tmp_path):
    make_song(tmp_path)
    (tmp_path / "mix.wav").rename(tmp_path / "stems" / "Mix.wav")
    song = load_stems(tmp_path / "stems")
    assert song.num_tracks == 3
    assert song.notices[0].endswith("Mix.wav lies among the tracks and was left out.")


# --- samples ---


@pytest.mark.parametrize("preload_bytes", [0, song_module.PRELOAD_BYTES])
def test_read_gives_the_resampled_files_and_silence_around_them(tmp_path, preload_bytes):
    song = load_song(make_song(tmp_path), preload_bytes=preload_bytes)
    assert song.is_preloaded == (preload_bytes > 0)
    samples = torch.stack([torch.from_numpy(noise(SECOND, 2, seed).T.copy()) for seed in range(3)])
    reference = torchaudio.functional.resample(samples, 44100, 30000)
    for start, length in [
        (-1000, 500),
        (-1000, 5000),
        (0, 30000),
        (12_345, 678),
        (29_000, 2000),
        (40_000, 10),
    ]:
        padded = torch.nn.functional.pad(reference, (2000, 20_100))
        expected = padded[:, :, start + 2000 : start + 2000 + length]
        segment = song.read(start, length)
        torch.testing.assert_close(segment.stems, expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(segment.mix, expected.sum(0), atol=1e-5, rtol=0)


def test_memory_and_disk_give_the_same_song(tmp_path):
    make_song(tmp_path)
    save(tmp_path / "stems" / "3.flac", noise(SECOND // 2, 1, 3), 48000)
    save(tmp_path / "stems" / "4.ogg", noise(2 * SECOND, 2, 4), 22050)
    save(tmp_path / "stems" / "5.wav", noise(SECOND, 2, 5), 30000)
    if "MP3" in soundfile.available_formats():
        save(tmp_path / "stems" / "6.mp3", noise(SECOND, 2, 6), 44100)
    memory, disk = load_song(tmp_path), load_song(tmp_path, preload_bytes=0)
    assert (memory.is_preloaded, disk.is_preloaded) == (True, False)
    for start, length in [(-500, 40_000), (17_001, 4000)]:
        one, other = memory.read(start, length), disk.read(start, length)
        torch.testing.assert_close(one.stems, other.stems, atol=1e-6, rtol=0)
        torch.testing.assert_close(one.mix, other.mix, atol=1e-6, rtol=0)


def test_what_a_reader_does_to_a_segment_leaves_the_song_alone(tmp_path):
    song = load_song(make_song(tmp_path))
    before = song.read(0, 100).stems.clone()
    song.read(0, 100).stems.zero_()
    assert torch.equal(song.read(0, 100).stems, before)


def test_shorter_tracks_are_padded_and_longer_ones_cut_with_notices(tmp_path):
    make_song(tmp_path)
    save(tmp_path / "stems" / "1_kick.wav", np.ones((SECOND // 2, 2), np.float32) / 2)
    save(tmp_path / "stems" / "2_snare.wav", noise(3 * SECOND))
    for preload_bytes in (0, song_module.PRELOAD_BYTES):
        song = load_song(tmp_path, preload_bytes=preload_bytes)
        assert song.num_samples == 30000
        assert song.notices == (
            "1 of 3 tracks are shorter than the song (1.00 s), by up to 0.500 s, and padded with silence: 1_kick.wav.",
            "1 of 3 tracks are longer than the song (1.00 s), by up to 2.000 s, and cut: 2_snare.wav.",
        )
        assert not song.read(15_000, 30_000).stems[0].any()
        assert not song.read(30_000, 100).stems.any()


def test_a_sample_of_rounding_between_rates_gives_no_notice(tmp_path):
    make_song(tmp_path)
    save(tmp_path / "stems" / "2_snare.wav", noise(48001), 48000)  # 30001 at the working rate
    assert load_song(tmp_path).notices == ()


def test_a_silent_track_is_a_notice(tmp_path):
    make_song(tmp_path)
    save(tmp_path / "stems" / "2_snare.wav", np.zeros((SECOND, 1), np.float32))
    assert load_song(tmp_path).notices == ("1 of 3 tracks are silent: 2_snare.wav.",)


def test_streaming_from_mp3_is_a_notice(tmp_path):
    if "MP3" not in soundfile.available_formats():
        pytest.skip("this libsndfile writes no MP3")
    make_song(tmp_path)
    (tmp_path / "mix.wav").unlink()
    save(tmp_path / "mix.mp3", noise(SECOND))
    assert load_song(tmp_path).notices == ()
    assert load_song(tmp_path, preload_bytes=0).notices == (
        "MP3 is decoded whole at each read (mix.mp3): convert it to FLAC to go faster.",
    )


def test_the_budget_decides_whether_a_song_is_kept(tmp_path):
    needed = (3 + 1) * 2 * 30000 * 4
    assert load_song(make_song(tmp_path), preload_bytes=needed).is_preloaded
    assert not load_song(tmp_path, preload_bytes=needed - 1).is_preloaded


MEMORY_PROBE = """
import resource, sys
from graphmix.audio import load_song
song = load_song(sys.argv[1] + "/warm", preload_bytes=0)
song.read(0, 15000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
song = load_song(sys.argv[1] + "/large", preload_bytes=0)
for start in range(0, song.num_samples, 150000):
    assert song.read(start, 15000).stems.shape == (133, 2, 15000)
print(song.num_tracks, song.num_samples, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_song_of_133_tracks_streams_without_being_held(tmp_path):
    make_song(tmp_path / "warm")
    source = tmp_path / "source.wav"
    soundfile.write(source, noise(20 * SECOND, 1), SECOND, subtype="PCM_16")
    (tmp_path / "large" / "dry").mkdir(parents=True)
    os.link(source, tmp_path / "large" / "mix.wav")
    for track in range(133):
        os.link(source, tmp_path / "large" / "dry" / f"{track}.wav")
    command = [sys.executable, "-c", MEMORY_PROBE, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    num_tracks, num_samples, growth_kb = map(int, done.stdout.split())
    assert (num_tracks, num_samples) == (133, 600_000)
    held_kb = 134 * 2 * 600_000 * 4 // 1024  # 628 MB, decoded
    segment_kb = 134 * 2 * 15_000 * 4 // 1024  # 16 MB, twice while it is put together
    assert growth_kb < 2 * segment_kb + 80_000 < held_kb // 5


# --- faults ---


def test_a_missing_folder_is_named(tmp_path):
    for load in (load_song, load_stems):
        with pytest.raises(SongError, match=r"nowhere is not a folder: check the name"):
            load(tmp_path / "nowhere")
    with pytest.raises(SongError, match=r"nowhere is not a folder"):
        load_song(tmp_path / "nowhere", mix=tmp_path / "mix.wav")


def test_a_missing_mix_is_named(tmp_path):
    make_song(tmp_path)
    (tmp_path / "mix.wav").unlink()
    with pytest.raises(SongError, match=r'has no mix: put mix\.wav .* name it under "mix" in song\.json'):
        load_song(tmp_path)
    (tmp_path / "song.json").write_text('{"mix": null}')
    with pytest.raises(SongError, match="has no mix"):
        load_song(tmp_path)
    (tmp_path / "song.json").write_text('{"mix": "lost.wav"}')
    with pytest.raises(SongError, match=r"lost\.wav is not a file"):
        load_song(tmp_path)


def test_several_possible_mixes_are_named(tmp_path):
    make_song(tmp_path)
    (tmp_path / "mix.wav").rename(tmp_path / "a.wav")
    save(tmp_path / "b.wav", noise(SECOND))
    with pytest.raises(SongError, match=r"has 2 files that may be the mix \(a\.wav, b\.wav\): call one mix\.wav"):
        load_song(tmp_path)
    assert load_stems(tmp_path).mix is None


def test_missing_tracks_are_named(tmp_path):
    save(tmp_path / "mix.wav", noise(SECOND))
    with pytest.raises(SongError, match=r"has neither stems/ nor dry/: put the dry tracks"):
        load_song(tmp_path)
    (tmp_path / "dry").mkdir()
    with pytest.raises(SongError, match=r"dry has no tracks: put the dry tracks into it"):
        load_song(tmp_path)
    with pytest.raises(SongError, match=r"dry has no tracks"):
        load_stems(tmp_path / "dry")
    (tmp_path / "stems").mkdir()
    with pytest.raises(SongError, match=r"has both dry/ and stems/"):
        load_song(tmp_path)
    (tmp_path / "song.json").write_text('{"stems": "lost"}')
    with pytest.raises(SongError, match=r"lost, where the dry tracks should be, is not a folder"):
        load_song(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"song\.json is not JSON \(Expecting property name.*\): correct it"),
        ("\x00", r"song\.json is not text"),
        ("[" * 100_000, r"song\.json is not JSON"),
        ("[1]", r"song\.json holds a list, expected an object"),
        ('{"name": 3}', r'song\.json has 3 under "name", expected a name in quotes'),
        ('{"name": ""}', r"song\.json has '' under \"name\""),
        ('{"mix": ""}', r"song\.json has '' under \"mix\", expected a name"),
        ('{"mix": ["mix.wav"]}', r"song\.json has \['mix\.wav'\] under \"mix\""),
        ('{"stems": false}', r'song\.json has False under "stems"'),
        ('{"subgroups": ["1_kick.wav"]}', r"song\.json, subgroups, is neither bus -> list of tracks nor track -> bus"),
        (
            '{"subgroups": {"drums": "1_kick.wav"}}',
            r'a list of its tracks: \{"drums": \["1_kick\.wav"\]\}',
        ),
        ('{"subgroups": {"drums": [1]}}', r"subgroups, is neither bus -> list"),
        ('{"subgroups": {"a": [], "a": []}}', r"song\.json is not JSON .it has the key 'a' twice"),
        ('{"mix": "../mix.wav"}', r"names '\.\./mix\.wav', which leads out of the song's folder: move"),
        ('{"mix": "/tmp/mix.wav"}', r"names '/tmp/mix\.wav', which leads out"),
        ('{"stems": "a/../../b"}', r"names 'a/\.\./\.\./b', which leads out"),
        ('{"stems": "..\\\\b"}', r"which leads out"),
        ('{"stems": "' + "x" * 300 + '"}', r"has a name of 300 characters, 'x{40}…': give a shorter one"),
        ('{"mix": "' + "x/" * 600 + 'mix.wav"}', r"has a name of 1207 characters"),
        ('{"name": "\\ud800"}', r"is not JSON \(.*surrogates not allowed\)"),
        ('{"stems": "C:\\\\b"}', r"which leads out"),
        ('{"subgroups": {"a": ["../mix.wav"]}}', r"tracks that song\.json names are missing \('\.\./mix\.wav'"),
        (
            '{"subgroups": {"drums": ["kick.wav"]}}',
            r"song\.json names are missing \('kick\.wav' of subgroup 'drums'\): correct the names, .* 1_kick\.wav",
        ),
        (
            '{"subgroups": {"a": ["1_kick.wav"], "b": ["1_kick.wav"]}}',
            r"puts '1_kick\.wav' into 'a' and into 'b': keep one",
        ),
    ],
)
def test_a_wrong_description_is_explained(tmp_path, text, message):
    make_song(tmp_path)
    (tmp_path / "song.json").write_text(text)
    with pytest.raises(SongError, match=message):
        load_song(tmp_path)


def test_a_description_in_another_encoding_is_explained(tmp_path):
    make_song(tmp_path)
    (tmp_path / "song.json").write_bytes('{"name": "café"}'.encode("latin-1"))
    with pytest.raises(SongError, match=r"song\.json is not UTF-8 text; it may be Latin-1"):
        load_song(tmp_path)


@pytest.mark.parametrize("preload_bytes", [0, song_module.PRELOAD_BYTES])
@pytest.mark.parametrize("place", ["mix.wav", "stems/2_snare.wav"])
def test_samples_that_are_not_finite_are_refused(tmp_path, preload_bytes, place):
    make_song(tmp_path)
    samples = noise(SECOND)
    samples[-1, 0] = np.nan
    save(tmp_path / place, samples)
    with pytest.raises(SongError, match=rf"{place} holds \[nan, .*\] at sample 44099 \(1\.00 s\)"):
        load_song(tmp_path, preload_bytes=preload_bytes)


@pytest.mark.parametrize("preload_bytes", [0, song_module.PRELOAD_BYTES])
def test_a_cut_track_is_refused(tmp_path, preload_bytes):
    make_song(tmp_path)
    path = save(tmp_path / "stems" / "3.flac", noise(SECOND))
    path.write_bytes(path.read_bytes()[:50_000])
    with pytest.raises(SongError, match=r"3\.flac is damaged or cut off"):
        load_song(tmp_path, preload_bytes=preload_bytes)


def test_a_track_in_a_format_that_cannot_be_decoded_is_refused_rather_than_lost(tmp_path):
    make_song(tmp_path)
    (tmp_path / "stems" / "vocals.m4a").write_bytes(b"\0\0\0\x20ftypM4A ")
    with pytest.raises(SongError, match=r"vocals\.m4a in .* is audio of a kind that is not read: convert it to WAV"):
        load_song(tmp_path)


def test_silence_is_refused_as_a_mix_and_as_a_whole_song(tmp_path):
    make_song(tmp_path)
    save(tmp_path / "mix.wav", np.zeros((SECOND, 2), np.float32))
    with pytest.raises(SongError, match=r"mix\.wav is silent \(its peak is 0\.0e\+00\): give the mix"):
        load_song(tmp_path)
    make_song(tmp_path)
    for path in (tmp_path / "stems").iterdir():
        save(path, np.zeros((SECOND, 2), np.float32))
    with pytest.raises(SongError, match=r"all 3 tracks of .* are silent"):
        load_song(tmp_path)


def test_a_mix_too_short_to_score_is_refused(tmp_path):
    make_song(tmp_path)
    save(tmp_path / "mix.wav", noise(SECOND // 10))
    message = r"mix\.wav lasts 0\.100 s: 3000 samples at 30000 Hz are too short to score"
    with pytest.raises(SongError, match=message):
        load_song(tmp_path)


def test_tracks_of_more_than_two_channels_or_no_samples_are_refused(tmp_path):
    make_song(tmp_path)
    save(tmp_path / "stems" / "2_snare.wav", noise(SECOND, 4))
    with pytest.raises(SongError, match=r"2_snare\.wav has 4 channels"):
        load_song(tmp_path)
    save(tmp_path / "stems" / "2_snare.wav", noise(0))
    with pytest.raises(SongError, match=r"2_snare\.wav holds 0 samples"):
        load_song(tmp_path)


@pytest.mark.parametrize("sample_rate", [0, -1, 44100.0, True, "30000"])
def test_an_impossible_working_rate_is_refused(tmp_path, sample_rate):
    with pytest.raises(SongError, match=rf"sample_rate is {sample_rate!r}: give a whole number of Hz"):
        load_song(make_song(tmp_path), sample_rate)


def test_a_negative_length_is_refused_and_none_is_empty(tmp_path):
    song = load_song(make_song(tmp_path))
    assert song.read(5, 0).stems.shape == (3, 2, 0)
    with pytest.raises(SongError, match="cannot read -3 samples"):
        song.read(0, -3)


def test_a_file_that_vanishes_after_loading_is_named(tmp_path):
    song = load_song(make_song(tmp_path), preload_bytes=0)
    (tmp_path / "stems" / "2_snare.wav").unlink()
    with pytest.raises(SongError, match=r"2_snare\.wav cannot be decoded"):
        song.read(0, 100)


# --- real recordings ---


@pytest.mark.parametrize(
    ("name", "num_tracks", "num_buses"),
    [
        ("reggae_try", 9, 7),
        ("krem_kaakkuja", 16, 14),
        *(pytest.param(*song, marks=pytest.mark.slow) for song in (("mauiwowi", 15, 6), ("final_step", 17, 7))),
    ],
)
def test_real_songs_load_and_stream_alike(shared_audio, name, num_tracks, num_buses):
    song = load_song(shared_audio / name)
    assert (song.num_tracks, len(song.subgroups), song.num_samples) == (num_tracks, num_buses, 660_000)
    assert sorted(sum(song.subgroups.values(), ())) == sorted(song.track_names)
    streamed = load_song(shared_audio / name, preload_bytes=0).read(250_007, 90_000)
    segment = song.read(250_007, 90_000)
    torch.testing.assert_close(streamed.stems, segment.stems, atol=1e-6, rtol=0)
    torch.testing.assert_close(streamed.mix, segment.mix, atol=1e-6, rtol=0)


def test_the_real_mix_of_gains_and_pans_is_in_the_span_of_its_tracks(shared_audio):
    song = load_song(shared_audio / "reggae_try")
    segment = song.read(0, 600_000)  # before the tail
    assert segment.mix is not None
    stems = segment.stems.double()
    for channel in (0, 1):  # each output channel by least squares on both channels of all tracks
        columns = stems.flatten(0, 1).T
        target = segment.mix[channel].double()
        residual = target - columns @ torch.linalg.lstsq(columns, target[:, None], driver="gelsd").solution[:, 0]
        assert 10 * torch.log10(target.square().sum() / residual.square().sum()) > 60


def test_a_real_song_without_a_mix_loads_as_stems(shared_audio):
    with pytest.raises(SongError, match="francium_dry_only has no mix"):
        load_song(shared_audio / "francium_dry_only")
    song = load_stems(shared_audio / "francium_dry_only")
    assert (song.num_tracks, song.num_samples, song.mix) == (10, 600_000, None)


# --- names that are not UTF-8 ---


def test_names_that_are_not_utf8_are_written_out_and_their_files_read(tmp_path):
    folder = make_song(tmp_path / os.fsdecode(b"S\xe9ance"))
    (folder / "stems" / "10_bass.wav").rename(folder / "stems" / os.fsdecode(b"10_b\xe4ss.wav"))
    (folder / "mix.wav").rename(folder / os.fsdecode(b"m\xefx.wav"))
    save(folder / "stems" / os.fsdecode(b"11_\xff.wav"), np.zeros((SECOND // 2, 1), np.float32))
    for preload_bytes in (1 << 30, 0):
        song = load_song(folder, preload_bytes=preload_bytes)
        assert song.name == "S\\xe9ance"
        assert song.track_names == ("1_kick.wav", "2_snare.wav", "10_b\\xe4ss.wav", "11_\\xff.wav")
        json.dumps([song.name, song.track_names, song.subgroups, song.notices], ensure_ascii=False).encode()
        assert "11_\\xff.wav" in song.notices[0]
        assert song.read(0, 30000).stems[2].any()


def test_a_damaged_file_with_such_a_name_is_named_readably(tmp_path):
    folder = make_song(tmp_path)
    (folder / "stems" / os.fsdecode(b"3_\xff.wav")).write_bytes(b"no audio")
    with pytest.raises(SongError, match=r"3_\\xff\.wav cannot be decoded"):
        load_song(folder)


def test_two_tracks_that_are_written_out_alike_are_refused(tmp_path):
    paths = [tmp_path / os.fsdecode(b"3_\xff.wav"), tmp_path / "3_\\xff.wav"]
    tracks = {path.name: save(path, noise(100)) for path in paths}
    with pytest.raises(SongError, match=r"several tracks called '3_\\xff\.wav': rename"):
        load_layout(Layout("song", None, tracks, {"mix bus": tuple(tracks)}), tmp_path)
