"""What REAPER would play of a project, as its documentation and what others measured of it say, for projects of ours.

The text is parsed by ``rpp`` and nothing of graphmix's reading is used. Effects are run from their files in the project
by a real EEL2 (:mod:`tests.sessions.pure_data`), latencies are compensated for, folders and receives add up, a fader
acts with its envelope, which is linear in the factor between its points.
"""

import math
from pathlib import Path

import numpy as np
import rpp
import soundfile

from tests.sessions import pure_data
from tests.sessions.test_jsfx import with_response


class Mixer:
    """One project.

    Args:
        path: the ``.RPP`` file.
        scratch: a folder for the effects' files.
        samples: length of what is played.
        before: samples before the project's beginning, into which filters ring.
    """

    def __init__(self, path: Path, scratch: Path, samples: int, before: int = 0) -> None:
        self.root = rpp.loads(path.read_text("utf-8"))
        self.folder, self.scratch, self.samples, self.before = path.parent, scratch, before + samples, before
        self.rate = int(words(self.root, "SAMPLERATE")[0])
        self.tracks = [child for child in self.root if getattr(child, "tag", "") == "TRACK"]
        self.parents: list[int | None] = []
        open_folders: list[int] = []
        for index, track in enumerate(self.tracks):
            self.parents.append(open_folders[-1] if open_folders else None)
            step = int(words(track, "ISBUS")[1])
            open_folders += [index] if step > 0 else []
            open_folders = open_folders[: len(open_folders) + min(0, step)]
        assert not open_folders, "a folder is left open"
        self.done: dict[int, np.ndarray] = {}

    def play(self) -> np.ndarray:
        """What the master plays, [2, samples]."""
        total = np.zeros((4, self.samples))
        for index, parent in enumerate(self.parents):
            if parent is None and words(self.tracks[index], "MAINSEND")[0] == "1":
                total[:2] += self.output(index)[:2]
        total = self.effects(self.root.find("MASTERFXLIST"), total)
        return self.levels(self.root, total, "MASTER_VOLUME", "MASTERVOLENV2")[:2, self.before :]

    def output(self, index: int) -> np.ndarray:
        """What leaves a track, [4, samples]."""
        if index in self.done:
            return self.done[index]
        track = self.tracks[index]
        channels = int(words(track, "NCHAN")[0])
        signal = np.zeros((4, self.samples))
        for item in track.findall("ITEM"):
            audio, rate = soundfile.read(self.folder / words(item.find("SOURCE"), "FILE")[0], always_2d=True)
            assert rate == self.rate
            signal[:2, self.before : self.before + len(audio)] += audio.T[:, : self.samples - self.before]
        for child, parent in enumerate(self.parents):
            if parent == index and words(self.tracks[child], "MAINSEND")[0] == "1":
                shared = min(channels, int(words(self.tracks[child], "NCHAN")[0]))
                signal[:shared] += self.output(child)[:shared]
        receives = [line[1:] for line in track if isinstance(line, list) and line[0] == "AUXRECV"]
        for source, mode, volume, pan, mute, mono, phase, begin, channel, law, *_ in receives:
            assert (mode, mute, mono, phase, begin) == ("0",) * 5
            left, right = pan_factors(float(volume), float(pan), float(law))
            received = self.output(int(source))[:2] * [[left], [right]]
            signal[int(channel) : int(channel) + 2] += received
        assert channels == 4 or not signal[2:].any()
        signal = self.effects(track.find("FXCHAIN"), signal)
        self.done[index] = self.levels(track, signal, "VOLPAN", "VOLENV2")
        return self.done[index]

    def levels(self, block, signal: np.ndarray, fader: str, envelope: str) -> np.ndarray:
        volume, pan, law = map(float, words(block, fader)[:3])
        left, right = pan_factors(volume, pan, law)
        result = signal * np.array([left, right, 1.0, 1.0])[:, None]
        points = block.find(envelope)
        if points is not None:
            times, factors = np.array([[float(x) for x in line[1:3]] for line in points if line[0] == "PT"]).T
            result = result * np.interp((np.arange(self.samples) - self.before) / self.rate, times, factors)
        return result

    def effects(self, chain, signal: np.ndarray) -> np.ndarray:
        for block in [] if chain is None else [child for child in chain if getattr(child, "tag", "") == "JS"]:
            file = self.folder / "Effects" / block.attrib[0].removeprefix("<Project>/")
            values = [float(x) for x in block.children[0] if x != "-"]
            signal = self.effect(file, values, signal)
        return signal

    def effect(self, file: Path, values: list[float], signal: np.ndarray) -> np.ndarray:
        """What leaves an effect, with its latency taken off."""
        text = file.read_text("utf-8")
        pins = text.count("in_pin")
        tail = 40000  # longer than any latency
        audio = np.pad(signal[:pins], ((0, 0), (0, tail)))
        lead = 0
        if "response %d.wav" in text:
            taps, rate = soundfile.read(file.parent / f"response {int(values[1])}.wav", always_2d=True)
            assert rate == self.rate
            lead = len(taps)
            audio = np.pad(audio, ((0, 2), (lead, 0)))
            audio[2:, :lead] = taps.T
            text, values = with_response(text, lead), [values[0], -1, values[2]]
        text = pure_data.with_sliders(text, values)
        got, latency = pure_data.run(self.scratch, text, audio.astype(np.float32), self.rate)
        assert latency < tail
        begin = lead + latency
        result = signal.copy()
        result[: len(got)] = got[:, begin : begin + self.samples]
        return result


def words(block, key: str) -> list[str]:
    """What follows on a line of a block."""
    (line,) = (line for line in block if isinstance(line, list) and line[0] == key)
    return line[1:]


def pan_factors(volume: float, pan: float, law: float) -> tuple[float, float]:
    """Left and right of a fader and its panner at the law of 0 dB."""
    assert law == 1
    angle = (pan + 1) / 4 * math.pi
    boost = 1 + math.sqrt(2) - 1 / math.cos(math.pi / 4 * pan)
    return volume * boost * math.cos(angle), volume * boost * math.sin(angle)
