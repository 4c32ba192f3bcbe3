"""The lines of edges, from points to matplotlib paths: upright with round corners, or in curves."""

import itertools
from collections.abc import Sequence

from matplotlib.path import Path

Point = tuple[float, float]

CORNER = 0.07
"""Radius of a corner, in inches."""
_SAME = 1e-6


def angled(points: Sequence[Point]) -> Path:
    """A line through these points, each level with or upright above the one before, with round corners."""
    points = _without_detours(points)
    vertices, codes = [points[0]], [Path.MOVETO]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        radius = min(CORNER, _distance(before, corner) / 2, _distance(corner, after) / 2)
        vertices += [_towards(corner, before, radius), corner, _towards(corner, after, radius)]
        codes += [Path.LINETO, Path.CURVE3, Path.CURVE3]
    return Path([*vertices, points[-1]], [*codes, Path.LINETO])


def curved(pieces: Sequence[tuple[Point, Point]]) -> Path:
    """Level pieces, each joined to the next by an S-curve."""
    vertices, codes = list(pieces[0]), [Path.MOVETO, Path.LINETO]
    for (_, (x0, y0)), ((x1, y1), end) in itertools.pairwise(pieces):
        middle = (x0 + x1) / 2
        vertices += [(middle, y0), (middle, y1), (x1, y1), end]
        codes += [Path.CURVE4, Path.CURVE4, Path.CURVE4, Path.LINETO]
    return Path(vertices, codes)


def _without_detours(points: Sequence[Point]) -> list[Point]:
    """Leave out points where the line does not turn."""
    kept = [points[0]]
    for point, after in zip(points[1:], [*points[2:], None], strict=True):
        if _distance(kept[-1], point) < _SAME:
            continue
        level = after is not None and abs(kept[-1][1] - point[1]) < _SAME and abs(point[1] - after[1]) < _SAME
        upright = after is not None and abs(kept[-1][0] - point[0]) < _SAME and abs(point[0] - after[0]) < _SAME
        if not level and not upright:
            kept.append(point)
    return kept


def _distance(a: Point, b: Point) -> float:
    return abs(a[0] - b[0]) + abs(a[1] - b[1])


def _towards(start: Point, end: Point, length: float) -> Point:
    share = length / _distance(start, end)
    return (start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share)
