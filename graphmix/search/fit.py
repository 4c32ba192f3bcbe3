"""Fitting the parameters and dry/wet weights of a graph by gradient descent (section 2.3 of the pruning paper).

AdamW on raw values, one random segment a step, projection into the ranges after each step. The best graph by
evaluation over the whole song is kept, not the last. The state of a training can be read and restored, so that an
interrupted one ends in the same numbers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from graphmix.audio.song import Song
from graphmix.errors import SearchError
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.rack import Rack
from graphmix.search.losses import LossTerms
from graphmix.search.objective import Objective
from graphmix.search.parametrization import RawGraph
from graphmix.search.settings import SearchSettings

WEIGHT_DECAY = 0.0
"""AdamW would pull raw values towards zero; levels come from least squares and are better left there."""

SECOND_BETA = 0.999
"""Of AdamW: how slowly it forgets the size of the gradients; torch's default."""

MAX_SKIPPED = 10
"""Most steps of one training that may be skipped because their gradient is not a number."""
LOOK_EVERY = 10
"""Steps between two looks at the loss and the number of skipped steps: at each look the host waits for the device."""


def check_gradients(graph: MixGraph, rack: Rack) -> None:
    """See that gradients reach all parameters of a graph.

    Raises:
        SearchError: a node whose processor passes no gradients has parameters.
    """
    for name, values in graph.params.items():
        if values.numel() and not rack[name].passes_gradients:
            names = ", ".join(p.name for p in rack[name].node_type.parameters)
            raise SearchError(
                f"{name!r} has the parameters {names} and passes no gradients, so that they cannot be fitted: give it "
                "gradient=spsa, or fix each of them (name=value); or search without training steps."
            )


@dataclass(frozen=True)
class Fitted:
    """A fitted graph, its loss over the song, and the learning curve: step and loss at each evaluation."""

    graph: MixGraph
    loss: LossTerms
    history: tuple[tuple[int, float], ...]

    def __repr__(self) -> str:
        nodes, first, last = self.graph.num_nodes, self.history[0][1], float(self.loss.total)
        return f"Fitted(graph of {nodes} nodes, loss {last:.4f}, {first:.4f} before {self.history[-1][0]} steps)"


class Training:
    """Gradient descent on a fixed graph, from one step number to another.

    Args:
        objective: the song and its losses.
        graph: where to start.
        settings: learning rate, regularization, seed.
        first_step: number of the first step in the whole search.
        num_steps: how many steps.
        loss: of ``graph`` over the song, if it is known.
        raw: makes the numbers that are moved; by default all of the graph.

    Raises:
        SearchError: there are steps to be made, and parameters that no gradients reach.
    """

    def __init__(
        self,
        objective: Objective,
        graph: MixGraph,
        settings: SearchSettings,
        first_step: int,
        num_steps: int,
        loss: LossTerms | None = None,
        raw: Callable[[MixGraph], RawGraph] | None = None,
    ) -> None:
        if num_steps > 0:
            check_gradients(graph, objective.rack)
        self.objective, self.settings = objective, settings
        self.first_step, self.step, self.last_step = first_step, first_step, first_step + num_steps
        here = graph.clone().to(objective.device)
        self.raw = RawGraph(here, objective.rack, settings.own_rates) if raw is None else raw(here)
        self.optimizer = torch.optim.AdamW(
            self.raw.parameters(),
            lr=settings.learning_rate,
            betas=(settings.momentum, SECOND_BETA),
            weight_decay=WEIGHT_DECAY,
            fused=True,
        )
        self.best_graph = self.raw.snapshot().cpu()
        self.best_loss = objective.evaluate(self.raw.snapshot()) if loss is None else loss
        self.last_train_loss = float("nan")
        self._skipped = torch.zeros((), device=objective.device)
        if not self.raw.params and not self.raw.weights.numel():  # an empty chain: there is nothing to train
            self.last_step = first_step

    @property
    def done(self) -> bool:
        """True after the last step."""
        return self.step >= self.last_step

    def advance(self) -> LossTerms | None:
        """One step; at every evaluation also the loss over the song, which is returned.

        Raises:
            SearchError: too many steps were skipped; found at the next of every :data:`LOOK_EVERY` steps.
        """
        settings = self.settings
        graph = self.raw.graph()
        loss = self.objective.step_loss(graph, settings.seed, self.step)
        total = loss.audio + settings.gain_staging * loss.staging
        total = total + settings.sparsity_at(self.step) * self.raw.wet().sum()
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        self._move(total)
        self.step += 1
        if self.step % LOOK_EVERY == 0 or self.done:
            self._look(loss.audio)
        if self.step % settings.evaluate_every and not self.done:
            return None
        snapshot = self.raw.snapshot()
        evaluated = self.objective.evaluate(snapshot)
        if evaluated.total < self.best_loss.total:
            self.best_graph, self.best_loss = snapshot.cpu(), evaluated
        return evaluated

    def stop(self) -> None:
        """End here: the graph as it is now is evaluated, and kept if it is the best."""
        if self.step > self.first_step:
            snapshot = self.raw.snapshot()
            evaluated = self.objective.evaluate(snapshot)
            if evaluated.total < self.best_loss.total:
                self.best_graph, self.best_loss = snapshot.cpu(), evaluated
        self.last_step = self.step

    def _move(self, total: Tensor) -> None:
        """Follow the gradients, or skip the step if anything is not a number, without waiting for the device."""
        gradients = [p.grad for p in self.raw.parameters() if p.grad is not None]
        largest = torch.nn.utils.get_total_norm([total.detach(), *gradients], norm_type=torch.inf)
        left_out = (~largest.isfinite()).float()
        self.optimizer.found_inf = left_out  # type: ignore[attr-defined]
        self._skipped += left_out
        progress = (self.step - self.first_step) / (self.last_step - self.first_step)
        in_round = self.first_step >= self.settings.steps > 0
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.rate_at(progress, in_round=in_round)
        self.optimizer.step()
        self.raw.project()

    @property
    def skipped(self) -> int:
        """Steps skipped so far."""
        return int(self._skipped)

    def _look(self, loss: Tensor) -> None:
        """Read the loss of the last step, and give up after too many skipped steps."""
        self.last_train_loss = float(loss.detach())
        if self.skipped > MAX_SKIPPED:
            raise SearchError(
                f"step {self.step}: the loss or its gradient is not a number, for the {self.skipped}th time; a lower "
                f"learning rate than {self.settings.learning_rate} may help (SearchSettings.learning_rate)."
            )

    def mean_weights(self) -> dict[str, float]:
        """Mean dry/wet weight of each type."""
        graph = self.raw.snapshot()
        return {
            t.name: round(float(graph.wet[graph.nodes_of(t.name)].mean()), 4)
            for t in graph.types.types
            if t.can_be_bypassed and graph.params[t.name].size(0)
        }

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON values from which :meth:`restore` resumes; the best graph is not among them."""
        tensors = {f"raw.{name}": value.detach() for name, value in self.raw.tensors().items()}
        parameters = dict(self.raw.tensors())
        for name, parameter in parameters.items():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"adam.{key}.{name}"] = torch.as_tensor(value).detach()
        return tensors | {"skipped": self._skipped.clone()}, {"step": self.step}

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Put back what :meth:`state` gave, into a training over the same steps."""
        self.step = int(values["step"])
        self._skipped.copy_(tensors["skipped"])
        for name, parameter in self.raw.tensors().items():
            parameter.copy_(tensors[f"raw.{name}"])
            moments = {
                key: tensors[f"adam.{key}.{name}"].to(parameter.device, copy=True)
                for key in ("step", "exp_avg", "exp_avg_sq")
                if f"adam.{key}.{name}" in tensors
            }
            if moments:
                self.optimizer.state[parameter] = moments


def fit(
    graph: MixGraph,
    song: Song,
    rack: Rack,
    settings: SearchSettings | None = None,
    *,
    on_step: Callable[[Training], None] | None = None,
    device: torch.device | str = "cpu",
) -> Fitted:
    """Fit a graph to a song by ``settings.steps`` steps of gradient descent.

    Args:
        graph: where to start; see :func:`graphmix.search.start_graph` for a good place.
        song: tracks and mix, at the rack's sample rate.
        rack: the processors.
        settings: steps, learning rate, objective, seed; the paper's by default.
        on_step: called after each step.
        device: where to compute.

    Returns:
        The best graph by evaluation over the song, never worse than the one given.
    """
    settings = settings or SearchSettings()
    minimised = settings.new_loss(song.sample_rate)
    objective = Objective(song, rack, device, minimised, evaluated=settings.evaluated_segments)
    training = Training(objective, graph, settings, 0, settings.steps)
    history = [(0, float(training.best_loss.total))]
    while not training.done:
        evaluated = training.advance()
        if evaluated is not None:
            history.append((training.step, float(evaluated.total)))
        if on_step is not None:
            on_step(training)
    whole = objective.evaluate_whole(training.best_graph) if objective.is_sampled else training.best_loss
    return Fitted(training.best_graph, whole, tuple(history))
