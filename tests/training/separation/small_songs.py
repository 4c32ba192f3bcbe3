"""Songs on disk whose sources differ plainly: low tones, high tones, noise; with subgroups."""

import json
from pathlib import Path

import numpy as np
import soundfile

RATE = 8000


def write_songs(folder: Path, count: int = 4, seconds: float = 1.5, rate: int = RATE) -> Path:
    """Songs of three tracks in two subgroups and a bass, each by an artist of its own."""
    for index in range(count):
        rng = np.random.default_rng(index)
        song = folder / f"song_{index}"
        (song / "dry").mkdir(parents=True)
        time = np.arange(round(seconds * rate)) / rate
        beats = (np.sin(2 * np.pi * 3 * time + index) > 0).astype(float)
        tracks = {
            "01_bass.wav": 0.3 * np.sin(2 * np.pi * rng.uniform(60, 120) * time),
            "02_hat.wav": 0.2 * beats * rng.standard_normal(len(time)),
            "03_lead.wav": 0.2 * np.sin(2 * np.pi * rng.uniform(600, 1200) * time),
            "04_pad.wav": 0.1 * np.sin(2 * np.pi * rng.uniform(1500, 2500) * time),
        }
        for name, audio in tracks.items():
            soundfile.write(song / "dry" / name, np.stack([audio, 0.5 * audio], axis=1), rate, subtype="FLOAT")
        soundfile.write(song / "mix.wav", np.stack([sum(tracks.values())] * 2, axis=1), rate, subtype="FLOAT")
        groups = {"Bass": ["01_bass.wav"], "Drums 2": ["02_hat.wav"], "synths": ["03_lead.wav", "04_pad.wav"]}
        text = {"artist": f"artist {index}", "mix": "mix.wav", "stems": "dry", "subgroups": groups}
        (song / "song.json").write_text(json.dumps(text))
    return folder
