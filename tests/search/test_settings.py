"""Settings: what is refused, and the schedules in closed form."""

import json
import math
from dataclasses import fields, replace

import pytest

from graphmix.errors import SearchError
from graphmix.search import DRAFT, PAPER, POLICIES, PRESETS, SearchSettings


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": -1}, "steps is -1; it cannot be negative"),
        ({"rounds": -2}, "rounds is -2"),
        ({"round_steps": -1}, "round_steps is -1"),
        ({"seed": -1}, "seed is -1"),
        ({"tolerance": -0.1}, "tolerance is -0.1"),
        ({"gain_staging": -1.0}, "gain_staging is -1"),
        ({"sparsity": -1.0}, "sparsity is -1"),
        ({"trial_segments": -1}, "trial_segments is -1"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; it must be above 0"),
        ({"final_rate": 0.0}, "final_rate is 0.0"),
        ({"evaluate_every": 0}, "evaluate_every is 0"),
        ({"sample_rate": 0}, "sample_rate is 0"),
        ({"ramp_steps": 0}, "ramp_steps is 0"),
        (
            {"policy": "random"},
            "no policy 'random'; choose one of: brute-force, dry-wet, hybrid, leave-one-out, first-order",
        ),
        ({"objective": "beauty"}, "no objective 'beauty'; choose one of: paper, dynamics, loudness"),
        ({"tolerance": math.nan}, "tolerance is nan; it is a finite number"),
        ({"tolerance": math.inf}, "tolerance is inf"),
        ({"learning_rate": math.inf}, "learning_rate is inf"),
        ({"steps": 2.5}, "steps is 2.5; it is a whole number"),
        ({"rounds": True}, "rounds is True"),
        ({"seed": 2**64}, "below 9223372036854775808"),
        ({"stepps": 3}, "stepps is 3; there is no such setting"),
        ({"chain": 3}, "chain is 3; it is text"),
        ({"tolerance": "0.1"}, "tolerance is '0.1'; it is a number"),
        ({"race": 1}, "race is 1; it is True or False"),
        ({"own_rates": 0}, "own_rates is 0; it is True or False"),
        ({"round_rate": 0.0}, "round_rate is 0.0; it must be above 0"),
        ({"momentum": 1.0}, "momentum is 1.0; it has to be at least 0 and below 1"),
        ({"momentum": -0.1}, "momentum is -0.1"),
        ({"momentum": math.nan}, "momentum is nan; it is a finite number"),
    ],
)
def test_settings_that_make_no_sense_are_refused(change, message):
    with pytest.raises(SearchError, match=message):
        SearchSettings(**change)


def test_the_defaults_are_the_papers():
    assert SearchSettings() == PAPER == PRESETS["paper"]
    assert (PAPER.steps, PAPER.rounds, PAPER.round_steps, PAPER.ramp_steps) == (6000, 12, 500, 4000)
    assert (PAPER.tolerance, PAPER.sparsity, PAPER.gain_staging, PAPER.policy) == (0.01, 1e-2, 1e-3, "hybrid")
    assert (PAPER.trial_segments, PAPER.race) == (0, False)
    assert (PAPER.learning_rate, PAPER.round_rate, PAPER.momentum, PAPER.own_rates) == (0.01, 1.0, 0.9, False)
    assert PAPER.rate_at(0.0) == PAPER.rate_at(0.7) == PAPER.rate_at(1.0) == PAPER.learning_rate


def test_sparsity_is_nothing_on_the_console_then_a_ramp_then_constant():
    settings = SearchSettings(steps=100, ramp_steps=50, sparsity=0.2)
    assert [settings.sparsity_at(step) for step in (0, 99, 100)] == [0, 0, 0]
    assert settings.sparsity_at(101) == pytest.approx(0.2 / 50)
    assert settings.sparsity_at(125) == pytest.approx(0.1)
    assert settings.sparsity_at(150) == settings.sparsity_at(10_000) == pytest.approx(0.2)


def test_sparsity_ends_before_the_last_round_if_it_is_not_wanted_there():
    settings = SearchSettings(steps=100, rounds=3, round_steps=20, ramp_steps=20, sparsity=0.2)
    without = replace(settings, sparse_last_round=False)
    assert [without.sparsity_at(step) for step in (99, 139, 140, 159)] == [0, 0.2, 0, 0]
    assert [settings.sparsity_at(step) for step in (99, 139, 140, 159)] == [0, 0.2, 0.2, 0.2]


def test_the_rate_falls_along_half_a_cosine_to_its_share():
    settings = SearchSettings(learning_rate=0.5, final_rate=0.1)
    assert settings.rate_at(0.0) == pytest.approx(0.5)
    assert settings.rate_at(0.5) == pytest.approx((0.5 + 0.05) / 2)
    assert settings.rate_at(1.0) == settings.rate_at(2.0) == pytest.approx(0.05)
    assert replace(settings, round_rate=0.4).rate_at(0.0, in_round=True) == pytest.approx(0.2)
    assert replace(settings, round_rate=0.4).rate_at(0.0) == pytest.approx(0.5)
    rates = [settings.rate_at(i / 20) for i in range(21)]
    assert rates == sorted(rates, reverse=True)


def test_scaling_to_nothing_new_changes_nothing():
    assert DRAFT.scaled() is DRAFT
    assert PAPER.scaled(6000, 12) == PAPER


@pytest.mark.parametrize("steps", [0, 1, 3, 20, 1000])
@pytest.mark.parametrize("rounds", [None, 0, 1, 3, 12])
@pytest.mark.parametrize("preset", PRESETS.values())
def test_a_scaled_budget_has_as_many_steps_after_the_rounds_as_before_them(preset, steps, rounds):
    scaled = preset.scaled(steps, rounds)
    assert scaled.steps == steps
    assert scaled.rounds == (preset.rounds if rounds is None else rounds)
    if scaled.rounds and steps >= scaled.rounds:
        assert abs(scaled.rounds * scaled.round_steps - steps) <= scaled.rounds / 2
    if not steps:
        assert scaled.round_steps == 0
    assert 1 <= scaled.evaluate_every <= max(1, steps // 4)
    untouched = {"steps", "rounds", "round_steps", "ramp_steps", "evaluate_every"}
    same = [f.name for f in fields(preset) if f.name not in untouched]
    assert all(getattr(scaled, name) == getattr(preset, name) for name in same)


def test_the_ramp_of_a_scaled_budget_takes_two_thirds_of_the_pruning_phase():
    scaled = PAPER.scaled(1200, 12)
    assert (scaled.round_steps, scaled.ramp_steps) == (100, 800)


def test_settings_are_json_values():
    assert SearchSettings(**json.loads(json.dumps(DRAFT.to_dict()))) == DRAFT


@pytest.mark.parametrize("name", POLICIES)
def test_each_search_gets_a_policy_of_its_own(name):
    settings = SearchSettings(policy=name)
    assert type(settings.new_policy()) is POLICIES[name]
    assert settings.new_policy() is not settings.new_policy()
