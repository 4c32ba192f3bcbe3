"""Tiny instances of the exact layouts that collections have, each of a few songs of 0.6 s.

A song's mix is the sum of its tracks at half their level, so that what is loaded can be checked.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import yaml

RATE = 16000
SECONDS = 0.6


def noise(seed: int, seconds: float = SECONDS, rate: int = RATE) -> np.ndarray:
    """Stereo noise, peak below 0.2."""
    return np.random.default_rng(seed).uniform(-0.1, 0.1, (round(seconds * rate), 2))


def write_wav(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype="PCM_16")
    return path


def write_tracks(folder: Path, names: Sequence[str], mix: Path | None) -> np.ndarray:
    """Write tracks and, where wanted, their mix; return the mix."""
    tracks = [noise(seed) for seed in range(len(names))]
    for name, samples in zip(names, tracks, strict=True):
        write_wav(folder / name, samples)
    total = 0.5 * np.sum(tracks, axis=0)
    if mix:
        write_wav(mix, total)
    return total


# --- a plain folder

PLAIN_TRACKS = ("1_kick.wav", "2_snare.wav", "10_bass.wav")


def write_plain_song(folder: Path, description: Mapping[str, Any] | None = None, stems: str = "stems") -> Path:
    write_tracks(folder / stems, PLAIN_TRACKS, folder / "mix.wav")
    if description is not None:
        (folder / "song.json").write_text(json.dumps(description), encoding="utf-8")
    return folder


def write_plain(root: Path) -> Path:
    """Three songs, one of them a folder deeper; one says who played it."""
    write_plain_song(root / "First")
    subgroups = {"drums": ["1_kick.wav", "2_snare.wav"], "bass": ["10_bass.wav"]}
    described = {"name": "The Second", "artist": "Anna", "genre": "Folk", "subgroups": subgroups}
    write_plain_song(root / "Second", described, stems="dry")
    write_plain_song(root / "Anna" / "Third", {"artist": "Anna"})
    return root


# --- MedleyDB

MEDLEY_STEMS = {"drum set": ["kick drum", "snare drum"], "electric bass": ["electric bass"]}


def medley_metadata(song: str, stems: Mapping[str, Sequence[str]] = MEDLEY_STEMS, **changes: Any) -> dict[str, Any]:
    """The keys and the form of the real files (version 1.2)."""
    artist, title = song.split("_")
    described = {}
    for stem, (instrument, raws) in enumerate(stems.items(), start=1):
        described[f"S{stem:02d}"] = {
            "component": "",
            "filename": f"{song}_STEM_{stem:02d}.wav",
            "instrument": instrument,
            "raw": {
                f"R{raw:02d}": {"filename": f"{song}_RAW_{stem:02d}_{raw:02d}.wav", "instrument": name}
                for raw, name in enumerate(raws, start=1)
            },
        }
    return {
        "album": "",
        "artist": artist,
        "composer": [artist],
        "excerpt": "no",
        "genre": "Rock",
        "has_bleed": "yes",
        "instrumental": "no",
        "mix_filename": f"{song}_MIX.wav",
        "origin": "Independent Artist",
        "producer": [""],
        "raw_dir": f"{song}_RAW",
        "stem_dir": f"{song}_STEMS",
        "stems": described,
        "title": title,
        "version": 1.2,
        "website": [],
    } | changes


def write_medley_song(audio: Path, metadata_folder: Path, song: str, **changes: Any) -> Path:
    folder = audio / song
    metadata = medley_metadata(song, **changes)
    raws = [raw["filename"] for stem in metadata["stems"].values() for raw in stem["raw"].values()]
    write_tracks(folder / f"{song}_RAW", raws, folder / f"{song}_MIX.wav")
    write_tracks(folder / f"{song}_STEMS", [stem["filename"] for stem in metadata["stems"].values()], None)
    write_medley_metadata(metadata_folder, song, metadata)
    return folder


def write_medley_metadata(folder: Path, song: str, metadata: Mapping[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{song}_METADATA.yaml"
    path.write_text(yaml.safe_dump(dict(metadata)), encoding="utf-8")
    return path


def write_medleydb(root: Path) -> Path:
    """Two songs under Audio/, and metadata in a folder of its own, as in the repository."""
    write_medley_song(root / "Audio", root / "Metadata", "AnnaBand_FirstSong")
    write_medley_song(root / "Audio", root / "Metadata", "Bert_No", title="No", genre="Jazz", has_bleed="no")
    return root


# --- MUSDB18-HQ

MUSDB_FILES = ("vocals.wav", "drums.wav", "bass.wav", "other.wav")


def write_musdb18(root: Path) -> Path:
    """Two songs in train/ and one in test/."""
    for place, song in (("train", "Anna - First"), ("train", "Bert & Co - Two - Three"), ("test", "Çelik - Şarkı")):
        folder = root / place / song
        write_tracks(folder, MUSDB_FILES, folder / "mixture.wav")
    return root


# --- Mixing Secrets

SECRETS = {
    "AnnaBand_FirstSong": {"Drum": ["01_Kick.wav", "02_SnareTop.wav"], "Bass": ["03_BassDI.wav"]},
    "Bert_Second": {"Gtr": ["01_ElecGtr1.wav", "02_ElecGtr2.wav"], "LeadVox": ["03_LeadVox.wav"]},
}


def write_mixing_secrets(root: Path) -> Path:
    """Two songs: the mix in the folder of one, and beside that of the other; one correspondence file."""
    first, second = (root / f"{song}_Full" for song in SECRETS)
    tracks = [[name for names in groups.values() for name in names] for groups in SECRETS.values()]
    write_tracks(first, tracks[0], first / "AnnaBand_FirstSong_FullPreview.wav")
    write_tracks(second, tracks[1], root / "Bert_Second_FullPreview.wav")
    (root / "correspondence.json").write_text(json.dumps(SECRETS), encoding="utf-8")
    return root


# --- a DAW's export

DAW_TRACKS = {
    "Kick In.wav": "drums",
    "OH L.wav": "drums",
    "Bass DI.wav": "bass",
    "E Gtr Left.wav": "guitars",
    "Lead Vox.wav": "lead vocals",
    "BV 1.wav": "backing vocals",
    "Thing.wav": "other",
}


def write_daw(root: Path) -> Path:
    """Two songs, one described; the mix of the other is called after its folder."""
    write_tracks(root / "Hello", tuple(DAW_TRACKS), root / "Hello" / "Hello Mix.wav")
    write_tracks(root / "World", ("a.wav", "b.wav", "c.wav"), root / "World" / "bounce.wav")
    description = {"mix": "bounce.wav", "artist": "Anna", "subgroups": {"all": ["a.wav", "b.wav"]}}
    (root / "World" / "song.json").write_text(json.dumps(description), encoding="utf-8")
    return root


WRITERS = {
    "folder": write_plain,
    "medleydb": write_medleydb,
    "musdb18-hq": write_musdb18,
    "mixing-secrets": write_mixing_secrets,
    "daw": write_daw,
}
"""Kind -> a function that writes a whole, correct collection of it."""
