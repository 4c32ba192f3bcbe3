"""Several notes, one by one: pitches and gates sample by sample, in parts, in a patch."""

import torch

from graphmix.processors import Rack
from graphmix.processors.melody import MOST_NOTES, Melody
from graphmix.render import Renderer
from graphmix.synthesizers import SUBTRACTIVE
from graphmix.synthesizers.notes import Note

RATE = 1000


def parameters(notes: list[tuple[float, float, float, float]]) -> torch.Tensor:
    unused = [(60.0, 0.0, 500.0, 0.0)] * (MOST_NOTES - len(notes))
    return torch.tensor([*notes, *unused]).T.reshape(1, -1)


def test_pitch_and_gate_are_those_of_a_keyboard():
    """Pitch, start, length, velocity: a gap, then a key that is pressed while the one before it is still down."""
    params = parameters([(60.0, 2.0, 3.0, 0.5), (69.0, 8.0, 10.0, 1.0), (72.0, 12.0, 4.0, 0.25)])
    out = Melody(RATE)(torch.zeros(1, 2, 20), params)
    assert out.shape == (1, 2, 2, 20)
    assert torch.equal(out[:, :, 0], out[:, :, 1])
    pitch, gate = out[0, :, 0].tolist()
    assert pitch == [-9.0] * 8 + [0.0] * 4 + [3.0] * 8
    assert gate == [0] * 2 + [0.5] * 3 + [0] * 3 + [1.0] * 3 + [0] + [0.25] * 4 + [0] * 4


def test_a_batch_is_its_melodies_one_by_one():
    params = torch.cat(
        [parameters([(60.0, 2.0, 3.0, 0.5)]), parameters([(70.0, 0.0, 9.0, 1.0), (71.0, 4.0, 9.0, 0.1)])]
    )
    both = Melody(RATE)(torch.zeros(2, 2, 30), params)
    for row in range(2):
        assert torch.equal(both[row : row + 1], Melody(RATE)(torch.zeros(1, 2, 30), params[row : row + 1]))


def test_it_goes_on_from_part_to_part():
    melody, params = Melody(RATE), parameters([(50.0, 3.0, 6.0, 1.0), (55.0, 9.0, 5.0, 0.7)])
    whole, state, parts = melody(torch.zeros(1, 2, 23), params), None, []
    for length in (1, 7, 8, 7):
        part, state = melody.resume(torch.zeros(1, 2, length), params, state, length)
        parts.append(part)
    assert torch.equal(torch.cat(parts, dim=-1), whole)


def test_a_patch_plays_each_note_as_by_itself_where_the_one_before_has_died_away():
    rate, values = 22050, {"amplitude_envelope.release_ms": 10.0, "amplitude_envelope.sustain": 1.0}
    renderer = Renderer(Rack.generators(rate))
    notes = [Note(57.0, 150.0, 0.0), Note(64.0, 150.0, 400.0, 0.4)]

    def play(*notes: Note) -> torch.Tensor:
        graph = SUBTRACTIVE.patch(values, rate, notes=notes)
        return renderer(graph, torch.zeros(0, 2, rate * 7 // 10))[0, 0]

    both, first, second = play(*notes), play(notes[0]), play(notes[1])
    assert SUBTRACTIVE.read(SUBTRACTIVE.patch(values, rate, notes=notes)) == SUBTRACTIVE.read(
        SUBTRACTIVE.patch(values, rate)
    )
    torch.testing.assert_close(both[: rate * 4 // 10], first[: rate * 4 // 10], atol=1e-4, rtol=0)
    late = slice(rate * 41 // 100, rate * 54 // 100)
    level, own = both[late].square().mean().sqrt(), second[late].square().mean().sqrt()
    torch.testing.assert_close(level, own, rtol=0.05, atol=0)  # the phase of its oscillators is another
