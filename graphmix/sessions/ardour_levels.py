"""Faders, trims, panners and automation of Ardour's routes as nodes.

Source: Ardour 7, measured in ``tests/sessions/test_ardour_import.py``. A fader is a factor. Ardour draws an automation
of a fader straight on the fader's own scale, :math:`((6 \\log_2 g + 192) / 198)^8`. Panners: *mono* puts one channel
between two, *balance* turns the other side down, and *stereo* places left and right each by itself; the law of mono
and stereo is -3 dB in the middle.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from xml.etree import ElementTree as Xml

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from graphmix.errors import FileError
from graphmix.processors.ride import BREAKPOINTS, breakpoints
from graphmix.sessions.ardour_plugins import controls_of
from graphmix.sessions.ardour_regions import Clock, events_of
from graphmix.sessions.ardour_xml import BALANCE
from graphmix.sessions.rebuild import FoundNode

LEAST_DB, MOST_DB = -120.0, 60.0
MIDDLE_DB = -3.0
"""Of each side in the middle, of mono and stereo panners."""
HONEST_DB = 0.1
"""Largest error of a simplified automation that is not mentioned."""
STEPS = 8
"""Points between two of an automation that is drawn on the fader's scale."""
OFF = ("Off", "Write")
"""States of an automation that does not play."""
RIDE_PLUGIN = "graphmix ride"
Array = NDArray[np.float64]


class RouteLevels:
    """The controls of a route or a send.

    Args:
        element: of the session.
        clock: its units of time.
        begin: first sample of the song on the timeline.
    """

    def __init__(self, element: Xml.Element, clock: Clock, begin: int) -> None:
        self.element, self.clock, self.begin = element, clock, begin

    @property
    def name(self) -> str:
        """Of the route."""
        return self.element.get("name") or ""

    def value(self, name: str, attribute: str = "value", default: float = 0.0) -> float:
        """A control of the route itself.

        Raises:
            FileError: it is no number.
        """
        found = self.element.find(f"Controllable[@name='{name}']")
        return default if found is None else self.number(found, attribute, default)

    def number(self, element: Xml.Element, attribute: str, default: float) -> float:
        """A finite number of an element.

        Raises:
            FileError: it is none.
        """
        text = element.get(attribute)
        if text is None:
            return default
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise FileError(
                f"{self.clock.file}: {self.name}: {element.get('name')} is {text!r}, and a number is expected."
            )
        return value

    def send_gains(self, notices: list[str]) -> list[float]:
        """Left and right gain of a send in dB."""
        fader = next((c for c in self.element.iter("Controllable") if c.get("name") == "gaincontrol"), None)
        factor = 1.0 if fader is None else self.number(fader, "value", 1.0)
        if any(line.get("state", "Off") not in OFF for line in self.element.iter("AutomationList")):
            notices.append(f"{self.name}: the automation of this send is not read.")
        matrix = pan_matrix(self, self.element, 2)
        if matrix is None:
            matrix = np.eye(2)
        elif matrix[0, 1] or matrix[1, 0]:
            notices.append(f"{self.name}: the panner of this send mixes left and right, which is not read.")
        return [decibels(factor * float(side)) for side in matrix.diagonal()]


def decibels(factor: float) -> float:
    """A factor in dB, within the range of gains.

    >>> decibels(1.0), decibels(0.0)
    (0.0, -120.0)
    """
    return min(MOST_DB, max(LEAST_DB, 20 * math.log10(factor))) if factor > 0 else LEAST_DB


def read_fader(levels: RouteLevels, processor: Xml.Element, notices: list[str]) -> list[FoundNode]:
    """Nodes of a fader, a trim or a polarity switch; none where it does nothing."""
    if processor.get("active", "1") == "0":
        return []
    if processor.get("type") == "polarity":
        return _polarity(levels)
    is_fader = processor.get("type") == "amp"
    control = processor.find("Controllable")
    line = processor.find("Automation/AutomationList")
    if line is not None and line.get("state", "Off") not in OFF and is_fader:
        points = events_of(line, levels.clock)
        if points:
            return [_ride(levels, line, points, notices)]
    factor = 1.0 if control is None else levels.number(control, "value", 1.0)
    return [] if factor == 1 else [FoundNode("gain", "" if is_fader else "trim", {"gain_db": [decibels(factor)] * 2})]


def _polarity(levels: RouteLevels) -> list[FoundNode]:
    """A node where channels are inverted; the last digit is the first channel."""
    phase = levels.element.find("Controllable[@name='phase']")
    digits = (phase.get("phase-invert") or "0") if phase is not None else "0"
    if set(digits) == {"1"}:
        return [FoundNode("align", "polarity", {"polarity": [-1.0]})]
    if "1" not in digits:
        return []
    left, right = (-1.0 if digit == "1" else 1.0 for digit in digits.rjust(2, "0")[:-3:-1])
    return [FoundNode("polarity", "polarity", {"polarity": [left, right]})]


def _ride(levels: RouteLevels, line: Xml.Element, points: Sequence[tuple[int, float]], notices: list[str]) -> FoundNode:
    """A ride through an automation of the fader."""
    dense: list[tuple[float, float]] = []
    on_scale = line.get("interpolation-style", "Exponential") != "Linear"
    for (start, first), (stop, last) in pairwise(points):
        for step in range(STEPS):
            share = step / STEPS
            if on_scale:
                factor = factor_at((1 - share) * position_of(first) + share * position_of(last))
            else:
                factor = (1 - share) * first + share * last
            dense.append((start + share * (stop - start), decibels(factor)))
    dense.append((points[-1][0], decibels(points[-1][1])))
    return _through(levels, dense, notices, len(points))


def ride_of_plugin(levels: RouteLevels, processor: Xml.Element, notices: list[str]) -> list[FoundNode]:
    """The node of graphmix's plugin for rides, whose gain in dB is automated; none for another, or without points."""
    if processor.get("type") != "luaproc" or processor.get("name") != RIDE_PLUGIN:
        return []
    line = processor.find("Automation/AutomationList[@automation-id='parameter-0']")
    points = [] if line is None or line.get("state", "Off") in OFF else events_of(line, levels.clock)
    if not points:
        return []
    node = _through(levels, points, notices, len(points))
    node.wet = 0.0 if processor.get("active", "1") == "0" else controls_of(processor).get("Wet", 1.0)
    return [node]


def _through(
    levels: RouteLevels, places: Sequence[tuple[float, float]], notices: list[str], num_points: int
) -> FoundNode:
    """A ride through samples of the timeline and dB."""
    rate = levels.clock.sample_rate
    found, error = simplified([((place - levels.begin) / rate, gain) for place, gain in places])
    if error > HONEST_DB:
        notices.append(
            f"{levels.name}: its automation has {num_points} points and a ride {BREAKPOINTS}; it differs by up to "
            f"{error:.1f} dB."
        )
    return FoundNode("ride", "", breakpoints(found))


def position_of(factor: float) -> float:
    """Place of a fader on Ardour's scale."""
    return ((6 * math.log2(factor) + 192) / 198) ** 8 if factor > 2**-32 else 0.0


def factor_at(position: float) -> float:
    """The inverse of :func:`position_of`.

    >>> round(factor_at(position_of(0.5)), 9)
    0.5
    """
    return 2 ** ((198 * position**0.125 - 192) / 6) if position > 0 else 0.0


def simplified(
    points: Sequence[tuple[float, float]], most: int = BREAKPOINTS
) -> tuple[list[tuple[float, float]], float]:
    """At most so many of the points, straight lines between them, and the largest error in dB at the others.

    One after the other where the error is largest, until it is negligible. Times below 0 are cut off.
    """
    times, gains = (np.array(column, float) for column in zip(*points, strict=True))
    order = np.argsort(times, kind="stable")
    times, gains = times[order], gains[order]
    kept_after = np.concatenate([np.diff(times) > 0, [True]])  # of several at one time the last
    times, gains = times[kept_after], gains[kept_after]
    if times[0] < 0:
        first = float(np.interp(0.0, times, gains))
        times, gains = np.append(0.0, times[times > 0]), np.append(first, gains[times > 0])
    kept = sorted({0, len(times) - 1})
    error = 0.0
    while True:
        difference = np.abs(np.interp(times, times[kept], gains[kept]) - gains)
        place = int(difference.argmax())
        error = float(difference[place])
        if error < HONEST_DB / 10 or len(kept) >= most:
            break
        kept = sorted({*kept, place})
    return [(float(times[k]), float(gains[k])) for k in kept], error


def pan_nodes(levels: RouteLevels, route: Xml.Element, notices: list[str]) -> list[FoundNode]:
    """Nodes of a route's panner; none where it does nothing."""
    main = route.find("Processor[@type='main-outs']")
    inputs = len(route.findall("IO[@direction='Input']/Port[@type='audio']"))
    matrix = None if main is None else pan_matrix(levels, main, inputs)
    if matrix is None or np.allclose(matrix, np.eye(2), atol=1e-7):
        return []
    if not matrix[0, 1] and not matrix[1, 0]:
        return [FoundNode("gain", "pan", {"gain_db": [decibels(float(side)) for side in matrix.diagonal()]})]

    def of(x: Array) -> Array:
        same, other = (1 + x[2]) / 2, (1 - x[2]) / 2
        return np.diag(x[:2]) @ np.array([[same, other], [other, same]])

    start = [float(matrix[0].sum()), float(matrix[1].sum()), 0.5]
    found = least_squares(lambda x: (of(x) - matrix).ravel(), start, bounds=(0, np.inf))
    if np.abs(of(found.x) - matrix).max() > 0.01:
        notices.append(f"{levels.name}: its panner places left and right in a way that is read only roughly.")
    left, right, side = (decibels(float(value)) for value in found.x)
    return [FoundNode("imager", "pan", {"side_db": [side]}), FoundNode("gain", "pan", {"gain_db": [left, right]})]


def pan_matrix(levels: RouteLevels, holder: Xml.Element, inputs: int) -> Array | None:
    """What of left and right comes out left and right; None where there is no panner.

    A mono signal counts as left and right alike.
    """
    shell = holder.find("PannerShell")
    if shell is None or shell.get("bypassed") == "1":
        return None
    panner = shell.find("Panner")
    kind = (panner.get("uri") if panner is not None else None) or shell.get("user-panner") or BALANCE
    own = holder.find("Pannable")
    pannable = own if own is not None else levels.element.find("Pannable")
    azimuth, width = 0.5, 1.0
    for control in () if pannable is None else pannable.findall("Controllable"):
        if control.get("name") == "pan-azimuth":
            azimuth = min(1.0, max(0.0, levels.number(control, "value", azimuth)))
        elif control.get("name") == "pan-width":
            width = min(1.0, max(-1.0, levels.number(control, "value", width)))
    if inputs == 1:
        return np.diag(_sides(azimuth))
    if kind == BALANCE:
        return np.diag([min(1.0, 2 * (1 - azimuth)), min(1.0, 2 * azimuth)])
    left, right = azimuth - width / 2, azimuth + width / 2
    return np.stack([_sides(min(1.0, max(0.0, left))), _sides(min(1.0, max(0.0, right)))], 1)


def _sides(place: float) -> Array:
    """Left and right factors of a signal between 0 (left) and 1."""
    bend = 2 - 4 * 10 ** (MIDDLE_DB / 20)
    return np.array([p * (bend * p + 1 - bend) for p in (1 - place, place)])
