"""Gradient descent: it gets better, never worse, the same every time, and can be cut anywhere."""

from dataclasses import replace

import pytest
import torch

from graphmix.audio import Song
from graphmix.errors import SearchError
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.validation import validate
from graphmix.processors.rack import Rack
from graphmix.search import Objective, Training, fit
from graphmix.search.fit import MAX_SKIPPED
from graphmix.search.parametrization import RawGraph
from tests.small_song import SETTINGS, hidden_graph, same_graph


def a_training(objective: Objective, graph: MixGraph, steps: int = 4, **changes: object) -> Training:
    return Training(objective, graph, replace(SETTINGS, **changes), 0, steps)


def run(training: Training, steps: int | None = None) -> Training:
    while not training.done and steps != 0:
        training.advance()
        steps = None if steps is None else steps - 1
    return training


def test_the_loss_falls(console, song, rack, objective):
    console.params["equalizer"].zero_()
    fitted = fit(console, song, rack, replace(SETTINGS, steps=12, evaluate_every=4))
    before = float(objective.evaluate(console).total)
    assert float(fitted.loss.total) < 0.7 * before
    assert [step for step, _ in fitted.history] == [0, 4, 8, 12]
    assert fitted.history[0][1] == pytest.approx(before, rel=1e-6)  # there and back through raw values
    assert min(loss for _, loss in fitted.history) == float(fitted.loss.total)
    assert float(objective.evaluate(validate(fitted.graph)).total) == float(fitted.loss.total)


def test_the_result_is_never_worse_than_the_start(song, rack, objective):
    """From the true graph, steps as large as these lead only away."""
    start = hidden_graph()
    fitted = fit(start, song, rack, replace(SETTINGS, learning_rate=0.5))
    assert min(loss for _, loss in fitted.history[1:]) > fitted.history[0][1]
    assert float(fitted.loss.total) == float(objective.evaluate(start).total)


def test_no_steps_give_back_what_was_given(console, song, rack):
    fitted = fit(console, song, rack, replace(SETTINGS, steps=0))
    assert all(torch.allclose(fitted.graph.params[n], console.params[n], atol=1e-4) for n in console.params)
    assert len(fitted.history) == 1


def test_the_given_graph_is_not_changed(console, song, rack):
    before = console.clone()
    fit(console, song, rack, replace(SETTINGS, steps=2))
    assert same_graph(console, before)


def test_the_same_seed_gives_the_same_bits_and_another_does_not(console, objective):
    one, same, other = (run(a_training(objective, console, 3, seed=seed)) for seed in (0, 0, 1))
    assert same_graph(one.raw.snapshot(), same.raw.snapshot())
    assert not same_graph(one.raw.snapshot(), other.raw.snapshot())


def test_chance_elsewhere_does_not_disturb_a_fit(console, objective):
    one = run(a_training(objective, console, 2))
    torch.manual_seed(123)
    torch.rand(7)
    assert same_graph(one.raw.snapshot(), run(a_training(objective, console, 2)).raw.snapshot())


@pytest.mark.parametrize(
    ("cut", "changes"),
    [
        (1, {}),
        pytest.param(3, {"final_rate": 0.1}, marks=pytest.mark.slow),
        (2, {"own_rates": True, "momentum": 0.8, "sparsity": 1.0, "final_rate": 0.1}),
    ],
)
def test_a_training_cut_anywhere_ends_in_the_same_bits(console, objective, cut, changes):
    whole = run(a_training(objective, console, **changes))
    first = run(a_training(objective, console, **changes), cut)
    tensors, values = first.state()
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}  # as a file would hold them
    second = Training(objective, console, replace(SETTINGS, **changes), 0, 4, first.best_loss)
    second.restore(tensors, values)
    second.best_graph = first.best_graph
    assert second.step == cut
    run(second)
    assert same_graph(second.raw.snapshot(), whole.raw.snapshot())
    assert same_graph(second.best_graph, whole.best_graph)
    assert second.best_loss == whole.best_loss


def test_restoring_does_not_tie_the_training_to_the_checkpoint(console, objective):
    first = run(a_training(objective, console), 2)
    tensors = {name: tensor.clone() for name, tensor in first.state()[0].items()}
    kept = {name: tensor.clone() for name, tensor in tensors.items()}
    second = a_training(objective, console)
    second.restore(tensors, first.state()[1])
    second.advance()
    assert all(torch.equal(tensors[name], kept[name]) for name in kept)


def test_evaluation_comes_at_its_times_and_at_the_end(console, objective):
    training = a_training(objective, console, 5, evaluate_every=3)
    evaluated = []
    while not training.done:
        evaluated.append(training.advance() is not None)
    assert evaluated == [False, False, True, False, True]


def test_everything_stays_in_its_range_at_an_absurd_rate(console, objective):
    training = run(a_training(objective, console, 3, learning_rate=50.0))
    validate(training.raw.snapshot())


def test_level_and_balance_move_at_their_own_rates(console, objective):
    """The first step of Adam is the learning rate, whatever the gradient."""
    training = a_training(objective, console, 1, own_rates=True, learning_rate=0.01)
    training.advance()
    before, after = (RawGraph(graph, objective.rack) for graph in (console, training.raw.snapshot()))
    moved = (after.params["gain"] - before.params["gain"]).abs() / objective.rack["gain"].rates()
    assert torch.allclose(moved, torch.tensor(0.01), rtol=0.05)


def test_a_round_begins_at_its_share_of_the_rate(console, objective):
    """Two steps of Adam in rounds of which one begins at a tenth: the first moves a tenth as far."""
    moved = []
    for share in (1.0, 0.1):
        settings = replace(SETTINGS, steps=3, round_rate=share, learning_rate=0.01, gain_staging=0.0, sparsity=0.0)
        training = Training(objective, console, settings, first_step=3, num_steps=2)
        training.advance()
        moved.append((training.raw.graph().params["gain"] - console.params["gain"]).abs())
    assert torch.allclose(moved[1], 0.1 * moved[0], rtol=0.01, atol=1e-5)


@pytest.mark.parametrize("own_rates", [False, True])
def test_sparsity_pushes_weights_down(console, objective, own_rates):
    def mean_weight(sparsity: float) -> float:
        settings = replace(SETTINGS, steps=0, ramp_steps=1, sparsity=sparsity, own_rates=own_rates)
        return sum(run(Training(objective, console, settings, 0, 2)).mean_weights().values())

    assert mean_weight(100.0) < mean_weight(0.0)


def test_mean_weights_are_by_type(console, objective):
    assert set(a_training(objective, console, 1).mean_weights()) == {"equalizer", "gain"}


def test_a_step_whose_gradient_is_no_number_is_left_out(console, objective):
    training = run(a_training(objective, console), 1)
    before = training.raw.snapshot()
    handle = training.raw.weights.register_hook(lambda gradient: gradient * float("nan"))
    training.advance()
    assert (training.step, training.skipped) == (2, 1)
    assert same_graph(training.raw.snapshot(), before)
    handle.remove()
    training.advance()
    assert not same_graph(training.raw.snapshot(), before)


def test_too_many_such_steps_stop_the_search(console, objective):
    training = a_training(objective, console, MAX_SKIPPED + 5, evaluate_every=100)
    training.raw.weights.register_hook(lambda gradient: gradient * float("nan"))
    with pytest.raises(SearchError, match=r"step \d+: the loss or its gradient is not a number"):
        run(training)


def test_on_step_sees_every_step(console, song: Song, rack: Rack):
    seen: list[int] = []
    fit(console, song, rack, replace(SETTINGS, steps=3), on_step=lambda training: seen.append(training.step))
    assert seen == [1, 2, 3]


def test_a_fit_prints_as_one_line(song, rack, console):
    fitted = fit(console, song, rack, replace(SETTINGS, steps=1))
    assert repr(fitted).startswith(f"Fitted(graph of {console.num_nodes} nodes, loss ")
    assert len(repr(fitted)) < 120
