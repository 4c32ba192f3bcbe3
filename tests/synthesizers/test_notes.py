"""Notes that are given, and notes that are found."""

from pathlib import Path

import pytest
import torch

from graphmix.audio import write_audio
from graphmix.errors import GraphmixError
from graphmix.processors import Rack
from graphmix.render import Renderer
from graphmix.synthesizers import WAVETABLE
from graphmix.synthesizers.notes import Note, check_notes, read_notes
from graphmix.synthesizers.program_run import ProgramSettings, load_patch, program_sound
from graphmix.synthesizers.sounds import load_sound

RATE = 44100
TRUE = (Note(57.0, 250.0, 0.0), Note(64.0, 200.0, 500.0), Note(60.0, 300.0, 900.0))


@pytest.fixture(scope="module")
def melody(tmp_path_factory: pytest.TempPathFactory) -> Path:
    values = {"amplitude_envelope.release_ms": 30.0, "amplitude_envelope.attack_ms": 3.0}
    graph = WAVETABLE.patch(values, RATE, notes=TRUE)
    audio = Renderer(Rack.generators(RATE))(graph, torch.zeros(0, 2, 14 * RATE // 10))[0]
    path = tmp_path_factory.mktemp("melody") / "melody.wav"
    write_audio(path, audio.detach(), RATE)
    return path


def test_notes_of_a_text_come_in_the_order_of_their_beginnings():
    assert [note.pitch for note in read_notes("64:500:400,60:0:400")] == [60.0, 64.0]
    for text, message in (
        ("60", "'60' is no note; write pitch:start:length"),
        ("200:0:400", "the note is 200; it is a MIDI note number from 0 to 127"),
        ("60:0:0", "the key is down for 0 ms; it is from 1 to 60000 ms"),
        ("60:-1:100", "a note begins at -1 ms"),
        (",".join(f"60:{100 * i}:50" for i in range(17)), "there are 17 notes; a melody has 1 to 16"),
    ):
        with pytest.raises(GraphmixError, match=message):
            read_notes(text)
    with pytest.raises(GraphmixError, match="velocity 0"):
        check_notes([Note(velocity=0.0)])


def test_notes_of_a_recording_are_found(melody: Path):
    sound = load_sound(melody, RATE, notes=())
    assert len(sound.notes) == 3
    for found, true in zip(sound.notes, TRUE, strict=True):
        assert abs(found.pitch - true.pitch) < 0.1
        assert abs(found.start_ms - true.start_ms) < 20
        assert abs(found.length_ms - true.length_ms) < 60
    assert len(load_sound(melody, RATE).notes) == 1
    assert len(sound.first) == round(sound.notes[1].start_ms * RATE / 1000)


def test_a_patch_of_a_melody_is_programmed_and_read(melody: Path, tmp_path: Path):
    text = ",".join(f"{n.pitch}:{n.start_ms}:{n.length_ms}" for n in TRUE)
    settings = ProgramSettings("wavetable", candidates=2, steps=2, notes=text)
    metrics = program_sound(melody, tmp_path / "out", settings, plots=False)
    assert [note["pitch"] for note in metrics["notes"]] == [57.0, 64.0, 60.0]
    synthesizer, values, note = load_patch(tmp_path / "out" / "patch.safetensors")
    assert synthesizer is WAVETABLE
    assert values.keys() == WAVETABLE.defaults().keys()
    assert note.tolist() == [57.0, 250.0]
    with pytest.raises(GraphmixError, match="not both"):
        ProgramSettings(pitch=60.0, notes="auto").check()
