"""The automation that is a ride in an exact Ardour session."""

import numpy as np

from graphmix.processors.ride import used_points
from graphmix.sessions.session import Device

BEND_DB = 1e-4
"""A breakpoint between two samples is a point at each of them, if one alone is off by more than that."""
LEAD_SECONDS = 0.5
"""By which a ride that begins with the song is there before it."""
LOW_DB, HIGH_DB = -200.0, 60.0
"""Range of the plugin's gain."""


def automation_of(ride: Device, sample_rate: int) -> tuple[tuple[float, float], ...]:
    """Points through which a plugin's automation is the ride at each sample, seconds of the song and dB.

    They are at whole samples, where Ardour cuts its blocks. A bend between two of them is a point at each, if one alone
    would be more than :data:`BEND_DB` off. Before the song, where there is silence, the first line goes on if it begins
    with the song, as there Ardour cuts nothing yet.
    """
    times, gains = (np.array(column) for column in zip(*used_points(ride.params), strict=True))
    if len(times) > 1 and times[0] == 0:
        slope = (gains[1] - gains[0]) / times[1]
        room = gains[0] - LOW_DB if slope > 0 else HIGH_DB - gains[0]
        lead = min(LEAD_SECONDS, room / abs(slope)) if slope else LEAD_SECONDS
        times[0], gains[0] = -lead, gains[0] - slope * lead
    slopes = np.concatenate([[0.0], np.diff(gains) / np.diff(times), [0.0]])
    places = times * sample_rate
    off_db = np.abs(places - np.round(places)) * np.abs(np.diff(slopes)) / sample_rate
    bent = places[off_db > BEND_DB]
    samples = np.unique(np.concatenate([np.round(places[off_db <= BEND_DB]), np.floor(bent), np.ceil(bent)]))
    values = np.interp(samples / sample_rate, times, gains)
    return tuple(zip((samples / sample_rate).tolist(), values.tolist(), strict=True))
