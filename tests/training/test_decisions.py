"""What the user has decided: read, refused, held."""

import math

import pytest
import torch

from graphmix.errors import GraphmixError
from graphmix.graph import mixing_console
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.rack import Rack
from graphmix.render.renderer import Renderer
from graphmix.training.decisions import Decision, describe, hold, read_decisions

TRACKS = ("Kick.wav", "Lead Vocals.wav", "pad=2.flac")


def test_settings_of_one_track_come_together() -> None:
    found = read_decisions(["lead vocals=fader:-3.5,pan:r30", "Kick.wav=pan:C", "pad=2=off"], TRACKS)
    assert found == {
        "Lead Vocals.wav": Decision(fader_db=-3.5, place=0.3),
        "Kick.wav": Decision(place=0.0),
        "pad=2.flac": Decision(off=True),
    }
    assert describe(found)["Lead Vocals.wav"] == {"fader_db": -3.5, "place": 0.3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Kick", "has no '='"),
        ("Snare=off", "'Snare' is none of the tracks; the tracks are: Kick.wav"),
        ("Kick=fader:loud", "the fader is 'loud'; give dB"),
        ("Kick=fader:99", "the fader is '99'"),
        ("Kick=pan:L130", "the place is 'L130'"),
        ("Kick=pan:30", "the place is '30'"),
        ("Kick=mute", "'mute' is no setting; give one of: fader:-3"),
        ("Kick=pan:L1,pan:R1", "the place of this track is given twice"),
    ],
)
def test_what_is_not_understood_is_refused(text: str, message: str) -> None:
    with pytest.raises(GraphmixError, match=message):
        read_decisions([text], TRACKS)


def test_names_that_could_be_two_tracks_are_refused() -> None:
    with pytest.raises(GraphmixError, match=r"could be a\.wav or a\.flac"):
        read_decisions(["a=off"], ["a.wav", "a.flac"])


def proposed(chain: str) -> tuple[MixGraph, Rack]:
    rack = Rack.console("eg", 30000)
    graph = mixing_console(rack, {"band": ["voice", "guitar"]}, chain)
    if "g" in chain:
        graph.params["gain"][0] = torch.tensor([-6.0, -12.0])
        graph.wet[graph.nodes_of("gain")[0]] = 0.5
    return graph, rack


@pytest.mark.parametrize("chain", ["eg", "e", "gg"])
@pytest.mark.parametrize(("fader", "place"), [(-3.0, -0.3), (2.0, 1.0), (0.0, 0.0)])
def test_a_fader_and_a_place_are_those_that_are_heard(chain: str, fader: float, place: float) -> None:
    graph, _rack = proposed(chain)
    held = hold(graph, {"voice": Decision(fader_db=fader, place=place)})
    audio = torch.zeros(2, 2, 2000)
    audio[0, :, 900] = 1.0
    left, right = Renderer(Rack.for_types(held.types.types, 30000))(held, audio)[0].square().sum(1).sqrt()
    angle = (place + 1) * math.pi / 4
    scale = 10 ** (fader / 20) * math.sqrt(2)
    assert float(left) == pytest.approx(scale * math.cos(angle), abs=1e-4)
    assert float(right) == pytest.approx(scale * math.sin(angle), abs=1e-4)
    assert torch.equal(graph.wet, proposed(chain)[0].wet)


def test_what_is_not_decided_stays_and_off_is_silent() -> None:
    graph, _ = proposed("eg")
    louder = hold(graph, {"voice": Decision(fader_db=3.0)})
    row = louder.params["gain"][0]
    amplitude = 0.5 + 0.5 * 10 ** (torch.tensor([-6.0, -12.0]) / 20)
    assert float(row[0] - row[1]) == pytest.approx(float(20 * (amplitude[0] / amplitude[1]).log10()), abs=1e-4)
    assert float((10 ** (row / 10)).mean()) == pytest.approx(10**0.3, rel=1e-4)
    assert hold(graph, {"voice": Decision(off=True)}).params["gain"][0].tolist() == [-120.0, -120.0]
