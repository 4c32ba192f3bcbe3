"""Graphs that sound the same: dry/wet folded in, redundant nodes absorbed, another sample rate; graph in, graph out."""

from graphmix.rewrite.absorb import absorb
from graphmix.rewrite.rates import at_rate, at_working_rate
from graphmix.rewrite.simplify import fold_dry_wet, simplify

__all__ = ["absorb", "at_rate", "at_working_rate", "fold_dry_wet", "simplify"]
