"""Sessions that others wrote, read by graphmix and rendered by Ardour: both play the same.

The two sessions of ``../shared/formats/ardour`` are a real Ardour's. They come without audio, and each holds one plugin
that graphmix reads as bypassed: it is switched off for Ardour as well, and everything else is compared.
"""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile

pytest.importorskip("defusedxml", reason="sessions are read with defusedxml")

from graphmix.audio import load_stems
from graphmix.render.reference import render_reference
from graphmix.sessions import import_session
from tests.sessions.headless_ardour import error_db, needs_ardour, render
from tests.sessions.random_sessions import stems

RATE, SECONDS = 48000, 2.5
SHARED = Path(__file__).resolve().parents[3] / "shared" / "formats" / "ardour"
pytestmark = [
    needs_ardour,
    pytest.mark.slow,  # renders by Ardour
    pytest.mark.skipif(not SHARED.is_dir(), reason="needs the sessions of ../shared/formats/ardour"),
]


class Foreign:
    """A copy of a session with audio of 2 s in its track, its plugin switched off."""

    def __init__(self, folder: Path, kind: str) -> None:
        (source,) = (SHARED / kind).glob("*.ardour")
        self.folder, self.back = folder / source.stem, folder / "back"
        audio = self.folder / "interchange" / source.stem / "audiofiles"
        audio.mkdir(parents=True)
        soundfile.write(audio / "vox.wav", stems(1, RATE, 5, seconds=2.0)[0].numpy().T, RATE, "FLOAT")
        self.path = self.folder / source.name
        self.root = ElementTree.parse(source).getroot()
        (self.track,) = (route for route in self.root.iter("Route") if route.get("name") == "Vox")
        (plugin,) = (p for p in self.track.findall("Processor") if p.get("type") in ("lv2", "luaproc"))
        plugin.set("active", "0")

    def control(self, name: str) -> ElementTree.Element:
        (found,) = (c for c in self.track.iter("Controllable") if c.get("name") == name)
        return found

    def error_db(self) -> float:
        """Of graphmix's render of what it reads, against Ardour's of the session."""
        ElementTree.ElementTree(self.root).write(self.path)
        played = render(self.folder)
        done = import_session(self.path, self.back)
        self.notices = done.notices
        song = load_stems(self.back / "dry", RATE)
        audio = np.zeros((len(song.tracks), 2, round(SECONDS * RATE)))
        read = song.read(0, min(song.num_samples, audio.shape[2])).stems
        audio[:, :, : read.shape[2]] = read.double().numpy()
        self.mix = render_reference(done.graph, audio).sum(0)
        assert np.mean(played**2) > 1e-4, "Ardour plays something"
        return error_db(played, self.mix)


@pytest.mark.parametrize("kind", ["convolver_session", "lua_session"])
def test_ardour_plays_a_session_of_others_as_it_is_read(tmp_path, kind):
    session = Foreign(tmp_path, kind)
    assert session.error_db() < -120
    assert len(session.notices) == 1, "the plugin"


def test_ardour_plays_levels_of_others_as_they_are_read(tmp_path):
    session = Foreign(tmp_path, "lua_session")  # of its fader, trim, polarity of the right side, and balance
    session.control("gaincontrol").set("value", "0.4")
    session.control("trimcontrol").set("value", "1.7")
    session.control("phase").set("phase-invert", "10")
    session.control("pan-azimuth").set("value", "0.3")
    assert session.error_db() < -120
    level = np.sqrt(np.mean(session.mix**2, 1))
    assert level[0] > 1.5 * level[1], "it is on the left"
    assert len(session.notices) == 1, "the plugin"


def test_ardour_plays_regions_of_others_as_they_are_read(tmp_path):
    session = Foreign(tmp_path, "convolver_session")
    (playlist,) = session.root.findall("Playlists/Playlist")
    (region,) = playlist
    second = 282_240_000
    region.set("length", f"a{second}@a{round(1.4 * second)}")
    region.set("start", f"a{second // 2}")
    region.set("scale-amplitude", "0.6")
    assert session.error_db() < -120
    assert not session.mix[:, : round(0.4 * RATE)].any(), "it comes later"
