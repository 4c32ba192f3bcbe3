"""Scheduling and rendering of graphs."""

from graphmix.render.renderer import Rendered, Renderer
from graphmix.render.schedule import Plan, schedule
from graphmix.render.sequence import METHODS, Beam, Exact, FixedOrder, Greedy, OneByOne

__all__ = ["METHODS", "Beam", "Exact", "FixedOrder", "Greedy", "OneByOne", "Plan", "Rendered", "Renderer", "schedule"]
