"""Audio: reading, writing and resampling files, songs, and which stretches of them to render."""

from graphmix.audio.files import AudioInfo, check_audio, read_audio, read_info, write_audio
from graphmix.audio.segments import MIN_SCORED_SAMPLES, EvalSegment, evaluation_segments, training_start
from graphmix.audio.song import PRELOAD_BYTES, Segment, Song, Track, load_song, load_stems

__all__ = [
    "MIN_SCORED_SAMPLES",
    "PRELOAD_BYTES",
    "AudioInfo",
    "EvalSegment",
    "Segment",
    "Song",
    "Track",
    "check_audio",
    "evaluation_segments",
    "load_song",
    "load_stems",
    "read_audio",
    "read_info",
    "training_start",
    "write_audio",
]
