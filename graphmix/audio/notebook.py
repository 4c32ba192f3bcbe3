"""A song in a notebook: a player of its mix, or of the sum of its tracks, and a table of its tracks."""

import base64
import html
import io
from typing import TYPE_CHECKING

import numpy as np
import soundfile
from torch import Tensor

if TYPE_CHECKING:
    from graphmix.audio.song import Song

PLAYED_SECONDS = 60.0
"""Of a song, from its beginning; as Ogg Vorbis some 600 kB."""
_CODED_PEAK = 0.89
_BLOCK = 1 << 16


def song_html(song: "Song") -> str:
    """A song as HTML that needs no file and no network."""
    count = min(song.num_samples, round(PLAYED_SECONDS * song.sample_rate))
    audio = song.read_mix(0, count) if song.mix is not None else song.read(0, count).stems.sum(0)
    what = "the mix" if song.mix is not None else "the sum of the tracks"
    part = f", its first {PLAYED_SECONDS:.0f} s" if count < song.num_samples else ""
    seconds = song.num_samples / song.sample_rate
    group = {track: bus for bus, members in song.subgroups.items() for track in members}
    rows = "".join(
        f"<tr><td>{html.escape(t.name)}</td><td>{html.escape(group.get(t.name, ''))}</td>"
        f"<td>{t.info.seconds:.2f} s</td><td>{t.info.sample_rate} Hz</td>"
        f"<td>{'stereo' if t.info.channels == 2 else 'mono'}</td></tr>"
        for t in song.tracks
    )
    heads = "".join(f"<th>{name}</th>" for name in ("track", "subgroup", "length", "rate", "channels"))
    return (
        f"<div><b>{html.escape(song.name)}</b>: {song.num_tracks} tracks, {seconds:.2f} s at {song.sample_rate} Hz<br>"
        f'<audio controls src="data:audio/ogg;base64,{_ogg(audio, song.sample_rate)}"></audio> {what}{part}'
        f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _ogg(audio: Tensor, sample_rate: int) -> str:
    """Audio [2, samples] as Ogg Vorbis in base64; turned down where it would clip."""
    samples = np.ascontiguousarray(audio.detach().cpu().T.numpy())
    peak = float(np.abs(samples).max()) if samples.size else 0.0
    samples = samples * (_CODED_PEAK / peak) if peak > _CODED_PEAK else samples
    target = io.BytesIO()
    with soundfile.SoundFile(target, "w", sample_rate, 2, "VORBIS", format="OGG") as file:
        for begin in range(0, len(samples), _BLOCK):
            file.write(samples[begin : begin + _BLOCK])
    return base64.b64encode(target.getvalue()).decode()
