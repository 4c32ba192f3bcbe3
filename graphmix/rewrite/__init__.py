"""Graphs that sound the same: fewer nodes, other types, another sample rate; graph in, graph out."""

from graphmix.rewrite.absorb import absorb
from graphmix.rewrite.convert import Converted, convert
from graphmix.rewrite.rates import at_rate, at_working_rate
from graphmix.rewrite.simplify import fold_dry_wet, simplify

__all__ = ["Converted", "absorb", "at_rate", "at_working_rate", "convert", "fold_dry_wet", "simplify"]
