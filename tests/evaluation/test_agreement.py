"""How a proposal agrees with a true graph: counts by hand."""

import pytest
import torch

from graphmix.evaluation.agreement import Agreement, Counts, agree, merge_agreements
from graphmix.graph.consoles import mixing_console
from graphmix.graph.editing import remove_nodes
from graphmix.processors.rack import Rack

SUBGROUPS = {"band": ("a", "b", "c")}


def test_f1_of_both_classes_by_hand() -> None:
    counts = Counts(hits=3, false_keeps=1, misses=2, true_drops=4)
    assert counts.keep_f1 == pytest.approx(6 / 9)
    assert counts.drop_f1 == pytest.approx(8 / 11)
    assert counts.f1 == pytest.approx((6 / 9 + 8 / 11) / 2)
    assert counts.total == 10


def test_a_class_that_is_neither_there_nor_proposed_is_left_out() -> None:
    assert Counts(hits=5).f1 == 1
    assert Counts(hits=5).drop_f1 is None
    assert Counts().f1 is None


def test_the_best_constant_answer_is_the_better_of_the_two() -> None:
    mostly_kept = Counts(hits=8, misses=0, false_keeps=0, true_drops=2)
    always_keep = (2 * 8 / (16 + 2) + 0) / 2
    assert mostly_kept.best_constant_f1 == pytest.approx(always_keep)
    mostly_dropped = Counts(hits=2, true_drops=8)
    assert mostly_dropped.best_constant_f1 == pytest.approx(always_keep)


def test_a_perfect_proposal_agrees_in_everything() -> None:
    rack = Rack.console("eg")
    console = mixing_console(rack, SUBGROUPS, "eg")
    true = remove_nodes(console, console.nodes_of("equalizer")[1:3])
    found = agree(true, true, SUBGROUPS, rack, "eg")
    assert found.f1 == 1
    assert found.parameter_error == 0
    assert found.counts["equalizer"] == Counts(hits=2, true_drops=2)
    assert found.lost == 0


def test_decisions_and_errors_are_counted_by_type() -> None:
    rack = Rack.console("eg")
    console = mixing_console(rack, SUBGROUPS, "eg")
    true = remove_nodes(console, console.nodes_of("equalizer")[:2])  # equalizers of a and b go
    proposal = remove_nodes(console, console.nodes_of("equalizer")[1:3])  # of b and c
    proposal.params["gain"] = proposal.params["gain"] + 20.0  # dB on left and right: a level of 20 / 8.686 raw
    found = agree(proposal, true, SUBGROUPS, rack, "eg")
    assert found.counts["equalizer"] == Counts(hits=1, false_keeps=1, misses=1, true_drops=1)
    assert found.counts["gain"] == Counts(hits=4)
    gain_error = found.raw_errors["gain"] / found.raw_values["gain"]
    raw = rack["gain"].to_raw(torch.full((1, 2), 20.0)).abs().mean()
    assert gain_error == pytest.approx(float(raw), rel=1e-5)
    assert found.parameter_error == pytest.approx(gain_error / 2)  # the equalizers that both keep are equal


def test_songs_together_are_counted_together() -> None:
    one = Agreement({"gain": Counts(hits=1, misses=1)}, {"gain": 2.0}, {"gain": 4})
    other = Agreement({"gain": Counts(true_drops=2), "reverb": Counts(hits=1)}, {"gain": 1.0}, {"gain": 2}, lost=3)
    together = merge_agreements([one, other])
    assert together.counts["gain"] == Counts(hits=1, misses=1, true_drops=2)
    assert together.counts["reverb"] == Counts(hits=1)
    assert together.raw_errors["gain"] == 3
    assert together.raw_values["gain"] == 6
    assert together.lost == 3
    assert merge_agreements([]).f1 is None
