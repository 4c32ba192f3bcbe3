"""Links from tracks to bus slots."""

import math

import pytest
import torch

from graphmix.models.mixing.subgroups import BusLinks, buses_from, link_loss

NAMES = ("a", "b", "c")
GROUPS = {"drums": ("a", "c"), "voice": ("b",)}


def test_each_track_goes_to_its_best_slot() -> None:
    logits = torch.tensor([[0.0, 2.0], [3.0, 1.0], [0.0, 0.1]])
    assert buses_from(logits, NAMES) == {"bus 2": ("a", "c"), "bus 1": ("b",)}
    assert buses_from(logits[:0], ()) == {}


def test_logits_that_say_nothing_cost_the_logarithm_of_the_slots() -> None:
    assert float(link_loss(torch.zeros(3, 2), NAMES, GROUPS)) == pytest.approx(math.log(2))


def test_the_loss_does_not_care_which_slot_is_which_bus() -> None:
    logits = torch.randn(3, 4)
    loss = link_loss(logits, NAMES, GROUPS)
    assert torch.allclose(loss, link_loss(logits[:, [3, 1, 0, 2]], NAMES, GROUPS))
    assert torch.allclose(loss, link_loss(logits, NAMES, dict(reversed(GROUPS.items()))))


def test_it_is_the_smallest_over_all_assignments() -> None:
    logits = torch.randn(3, 3)
    odds = logits.log_softmax(1)
    costs = [-(odds[0, d] + odds[2, d] + odds[1, v]) / 3 for d in range(3) for v in range(3) if d != v]
    assert torch.allclose(link_loss(logits, NAMES, GROUPS), torch.stack(costs).min())


def test_a_right_answer_costs_nothing_and_a_wrong_one_much() -> None:
    right, wrong = 50 * torch.tensor([[0.0, 1], [1, 0], [0, 1]]), 50 * torch.tensor([[0.0, 1], [0, 1], [0, 1]])
    assert float(link_loss(right, NAMES, GROUPS)) < 1e-6
    assert float(link_loss(wrong, NAMES, GROUPS)) > 10


def test_more_buses_than_slots_and_tracks_without_bus_are_left_out() -> None:
    groups = {"big": ("a", "b"), "small": ("c",)}
    logits = torch.randn(3, 1, requires_grad=True)
    assert float(link_loss(logits, NAMES, groups).detach()) == 0.0
    logits = torch.randn(3, 2)
    expected = link_loss(logits[:2], NAMES[:2], {"big": ("a", "b")})
    assert torch.allclose(link_loss(logits, NAMES, {"big": ("a", "b")}), expected)
    assert float(link_loss(logits, NAMES, {})) == 0.0


def test_links_can_be_learnt() -> None:
    tracks = torch.randn(3, 5)
    links = BusLinks(5, slots=4)
    optimizer = torch.optim.Adam(links.parameters(), lr=0.01)
    for _ in range(200):
        optimizer.zero_grad()
        link_loss(links(tracks), NAMES, GROUPS).backward()
        optimizer.step()
    assert sorted(buses_from(links(tracks), NAMES).values()) == [("a", "c"), ("b",)]
