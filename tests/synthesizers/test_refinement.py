"""Trials, descent of several patches, and the stages of a refinement."""

import json
import math

import numpy as np
import pytest
import torch

from graphmix.errors import GraphmixError
from graphmix.processors import Rack
from graphmix.progress import Silent
from graphmix.render import Renderer
from graphmix.synthesizers import FM, SUBTRACTIVE, SYNTHESIZERS, WAVETABLE, Synthesizer
from graphmix.synthesizers.candidates import Candidate, compare, measure, note_graph, random_patches, try_patches
from graphmix.synthesizers.descent import DistanceLoss, descend
from graphmix.synthesizers.programming import program, refine
from graphmix.synthesizers.refinement import Refinement, plan_stages
from graphmix.synthesizers.sounds import Sound, log_spectral_distance
from graphmix.synthesizers.trials import Chances, neighbour

RATE = 22050
NOTE = {"pitch": 57.0, "length_ms": 200.0}


def renderer() -> Renderer:
    return Renderer(Rack.generators(RATE))


def sound_of(synthesizer: Synthesizer, values: dict[str, float | str], seconds: float = 0.3) -> Sound:
    graph = synthesizer.patch(values, RATE, **NOTE)
    with torch.no_grad():
        audio = renderer()(graph, torch.zeros(0, 2, round(seconds * RATE)))[0, 0]
    return Sound(audio, RATE, 57.0, 200.0)


# --- trials


@pytest.mark.parametrize(
    "synthesizer",
    SYNTHESIZERS.values(),
    ids=lambda s: s.name,
)
@pytest.mark.parametrize("kind", range(5))
def test_every_kind_of_trial_gives_a_patch_that_differs_in_little(synthesizer: Synthesizer, kind: int):
    chances = Chances(*(float(i == kind) for i in range(5)))
    rng = np.random.default_rng(0)
    first, second = random_patches(synthesizer, 2, 1)
    changed = set()
    for _ in range(30):
        tried = neighbour(synthesizer, first, [second], chances, rng)
        synthesizer.patch(tried, RATE)  # refuses what is out of range
        different = {name for name, value in tried.items() if value != first[name]}
        options = {name for name in different if synthesizer.by_name[name].options}
        modules = {name.split(".")[0] for name in different}
        assert "amplifier.level_db" not in different
        if kind == 0:
            assert len(modules) <= 2
            assert all(tried[name] == second[name] for name in different)
        elif kind == 1:
            assert len(modules) <= 1
        elif kind == 2:
            assert len(modules) <= 1
            assert len(different) <= 2
        elif kind == 3:
            assert len(different) == len(options) == 1
        else:
            assert 1 <= len(different) <= 4
            assert not options
            assert not any(first[name] == synthesizer.defaults()[name] for name in different)
        changed |= different
    assert len(changed) > 1


def test_a_trial_changes_a_transposition_and_leaves_the_rest_of_the_oscillator():
    first, rng = random_patches(SUBTRACTIVE, 1, 1)[0], np.random.default_rng(0)
    name, found = "oscillator_1.transpose_semitones", set()
    for _ in range(300):
        tried = neighbour(SUBTRACTIVE, first, [first], Chances(0, 0, 1, 0, 0), rng)
        if {key for key, value in tried.items() if value != first[key]} == {name}:
            found.add(tried[name])
    assert found == {-12.0, 0.0, 12.0} - {first[name]}  # those of random patches


def test_the_given_patch_stays_as_it_is():
    values = random_patches(FM, 1, 0)[0]
    before = dict(values)
    for seed in range(10):
        neighbour(FM, values, [FM.defaults()], Chances(0.2, 0.2, 0.2, 0.2, 0.2), np.random.default_rng(seed))
    assert values == before


# --- descent


def test_the_loss_is_the_distance_and_its_gradient_that_of_small_changes():
    generator = torch.Generator().manual_seed(0)
    target, found = torch.randn(9000, generator=generator), torch.randn(2, 9000, generator=generator)
    loss, distance = DistanceLoss(target)(found)
    torch.testing.assert_close(distance, log_spectral_distance(found, target))
    torch.testing.assert_close(loss, distance, rtol=1e-4, atol=1e-4)
    gain = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    of = DistanceLoss(target.double())
    torch.autograd.gradcheck(lambda g: of(g * found[:1].double())[0].sum(), gain)


def test_an_equal_sound_has_a_finite_gradient():
    audio = torch.zeros(1, 9000)
    audio[0, 100] = 1
    again = audio.clone().requires_grad_()
    DistanceLoss(audio[0])(again)[0].sum().backward()
    assert again.grad is not None
    assert again.grad.isfinite().all()


@pytest.mark.parametrize(
    "synthesizer",
    [FM, WAVETABLE],
    ids=lambda s: s.name,
)
def test_patches_descend_in_a_batch_as_each_of_them_alone(synthesizer: Synthesizer):
    truth, *others = random_patches(synthesizer, 3, 4)
    sound = sound_of(synthesizer, truth)
    starts = measure(sound, synthesizer, others, renderer())
    together = descend(sound, synthesizer, starts, 3, renderer())
    for start, found in zip(starts, together, strict=True):
        (alone,) = descend(sound, synthesizer, [start], 3, renderer())
        assert alone.distance == pytest.approx(found.distance, rel=1e-3)
        assert found.distance <= start.distance
        _, distance = compare(sound, note_graph(sound, synthesizer, found.values), renderer())
        assert distance == pytest.approx(found.distance, rel=1e-3)
        choices = [p.name for p in synthesizer.parameters if p.options]
        assert [found.values[name] for name in choices] == [start.values[name] for name in choices]


def test_descent_finds_level_time_and_cutoff():
    truth = {"oscillator_1.wave": "saw", "filter.cutoff_hz": 900.0, "amplitude_envelope.release_ms": 90.0}
    sound = sound_of(SUBTRACTIVE, truth)
    start = SUBTRACTIVE.defaults() | truth | {"filter.cutoff_hz": 1300.0, "amplitude_envelope.release_ms": 130.0}
    (candidate,) = measure(sound, SUBTRACTIVE, [start], renderer())
    (found,) = descend(sound, SUBTRACTIVE, [candidate], 60, renderer())
    assert found.distance < 0.3 * candidate.distance
    assert abs(float(found.values["filter.cutoff_hz"]) - 900) < 0.4 * 400


# --- stages


@pytest.mark.parametrize("steps", [0, 1, 2, 7, 200])
@pytest.mark.parametrize("trials", [True, False])
def test_the_stages_have_all_steps(steps: int, trials: bool):
    assert sum(stage.steps for stage in plan_stages(steps, trials)) == steps


def test_trials_find_another_waveform_which_gradients_cannot():
    truth = {"oscillator_1.wave": "pulse", "oscillator_1.width": 0.2, "oscillator_1.level_db": -6.0}
    sound = sound_of(SUBTRACTIVE, truth)
    start = measure(sound, SUBTRACTIVE, [SUBTRACTIVE.defaults() | truth | {"oscillator_1.wave": "sine"}], renderer())
    descended = refine(sound, SUBTRACTIVE, start, 40, trials=False)
    assert descended.values["oscillator_1.wave"] == "sine"
    found = refine(sound, SUBTRACTIVE, start, 40, seed=1)
    assert found.values["oscillator_1.wave"] != "sine"
    assert found.distance < 0.5 * descended.distance


def test_a_refinement_never_ends_farther_and_its_history_falls():
    sound = sound_of(FM, random_patches(FM, 1, 2)[0])
    tried = try_patches(sound, FM, random_patches(FM, 6, 3))
    result = refine(sound, FM, tried, 10)
    distances = [distance for _, distance in result.history]
    assert distances == sorted(distances, reverse=True)
    assert [step for step, _ in result.history] == list(range(11))
    assert result.proposed == tried[0].distance
    assert result.distance <= result.proposed * (1 + 1e-4)
    assert result.distance == pytest.approx(distances[-1], rel=1e-3)


@pytest.mark.parametrize("saves", [2, 4])
def test_a_resumed_refinement_ends_in_the_same_patch(saves: int):
    sound = sound_of(WAVETABLE, random_patches(WAVETABLE, 1, 2)[0])
    tried = try_patches(sound, WAVETABLE, random_patches(WAVETABLE, 5, 3))

    def make() -> Refinement:
        return Refinement(sound, WAVETABLE, tried, 16, seed=5)

    whole = make()
    whole.run()
    states = list[str]()
    stopped = make()

    def save() -> None:
        states.append(json.dumps(stopped.state()))
        if len(states) == saves:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped.run(None, save)
    resumed = Refinement(sound, WAVETABLE, [Candidate("wavetable", {}, 0.0)], 16, seed=5)
    resumed.restore(json.loads(states[-1]))
    resumed.run()
    assert resumed.best == whole.best
    assert resumed.history == whole.history
    assert resumed.proposed == whole.proposed


def test_synthesizers_that_are_far_off_are_given_up_after_the_first_stage(monkeypatch: pytest.MonkeyPatch):
    sound = sound_of(SUBTRACTIVE, {"oscillator_1.wave": "saw"})
    monkeypatch.setattr("graphmix.synthesizers.programming.GIVEN_UP", 1.0)
    results = program(sound, list(SYNTHESIZERS.values()), candidates=4, steps=10, seed=1)
    lengths = {result.synthesizer: result.history[-1][0] for result in results}
    assert sorted(lengths.values()) == [4, 4, 10]
    distances = [result.distance for result in results]
    assert distances == sorted(distances)


def test_a_program_that_was_stopped_ends_in_the_same_patches():
    sound = sound_of(FM, random_patches(FM, 1, 7)[0])
    saved = list[str]()
    settings = {"candidates": 3, "steps": 10, "seed": 2}
    whole = program(sound, [FM, WAVETABLE], **settings, on_save=lambda states: saved.append(json.dumps(states)))
    for states in (saved[0], saved[len(saved) // 2], saved[-1]):
        again = program(sound, [FM, WAVETABLE], **settings, resume=json.loads(states))
        assert [(r.synthesizer, r.distance, r.history) for r in again] == [
            (r.synthesizer, r.distance, r.history) for r in whole
        ]


def test_nothing_to_refine_is_refused():
    sound = Sound(torch.ones(9000), RATE, 57.0, 200.0)
    with pytest.raises(GraphmixError, match="no patch of 'fm' that was tried made a sound; try more candidates"):
        Refinement(sound, FM, [], 10)
    silent = FM.defaults() | {f"op{i}.level_db": -96.0 for i in range(1, 7)}
    assert all(math.isfinite(c.distance) for c in try_patches(sound, FM, [silent], Silent()))
