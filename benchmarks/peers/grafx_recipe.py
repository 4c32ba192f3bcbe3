"""The pruning paper's search on GRAFX's processors: the full console, training, rounds of trials and fine-tuning.

What its repository does is done here: raw values start from a normal distribution of deviation 0.01 and every weight at
a half; AdamW with a constant rate and no decay, restarted after each round; a random segment each step, uniform over
the song; gain-staging, the pull of the delays' radii, and the weights' sum with a growing factor. A trial renders the
graph that the round began with, the weights of what is removed at zero, over all segments, and computes the loss of
prediction and target; its threshold is the smallest loss so far, fine-tuned graphs included, plus the tolerance. A
round's removals are carried out at its end. The last graph is the result.

Where repository and paper differ, the paper's equations and algorithms hold, for they do the recipe no harm: the
prediction comes first into the loss, whose spectral convergence then divides by the target's norm (equation 4); delays
are gain-staged as well; alpha_p ends at 0.01; a type leaves a round when a single candidate fails (algorithm 3, by
graphmix's policies, which choose and render nothing). Evaluation covers the whole song, each sample once, by
graphmix's segments, and not from the second second on. Nothing is logged.

Segments and target are the song's, held in memory. The clock stops while graphmix measures the result.
"""

from collections.abc import Callable, Collection
from time import perf_counter
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from graphmix.audio.segments import EvalSegment
from graphmix.graph import MixGraph
from graphmix.graph.editing import remove_nodes
from graphmix.search import Candidate, Objective, SearchSettings
from graphmix.search.rounds import count_processors, prunable_nodes, pruning_ratio

from .grafx_console import GrafxConsole, PeerLoss

DEVIATION = 0.01
RADII = 0.5
Note = Callable[[dict[str, Any]], None]


class PrunedConsole:
    """A GRAFX console that knows which node of the graph stands where in it.

    Args:
        graph: structure; its settings are taken over.
    """

    def __init__(self, graph: MixGraph) -> None:
        self.graph, self.console = graph, GrafxConsole(graph)
        numbered = graph.clone()  # the peer has an order of its own, in which the weights come out
        numbered.wet = (torch.arange(graph.num_nodes) + 1) / (graph.num_nodes + 1)
        places = torch.sigmoid(GrafxConsole(numbered).weight_logits.detach())
        self.nodes = (places * (graph.num_nodes + 1)).round().long() - 1

    @property
    def weights(self) -> Tensor:
        """Dry/wet weight of each node of the graph, [nodes]."""
        return _by_node(self.nodes, torch.sigmoid(self.console.weight_logits), self.graph.num_nodes)

    def rows_of(self, kind: str) -> Tensor:
        """The graph's nodes in the order of the settings of one type."""
        return self.nodes[torch.isin(self.nodes, self.graph.nodes_of(kind))]

    @torch.no_grad()
    def randomize(self, generator: torch.Generator) -> None:
        """Start as the repository does: raw values near zero, every node half wet."""
        for values in self.console.settings.parameters():
            values.normal_(0, DEVIATION, generator=generator)
        self.console.weight_logits.zero_()

    @torch.no_grad()
    def mix_without(self, removed: Collection[int], sources: Tensor) -> Tensor:
        """The mix with some weights at zero; every node is rendered all the same."""
        gone = torch.isin(self.nodes, torch.tensor(list(removed), dtype=torch.long))
        logits = self.console.weight_logits.masked_fill(gone, -torch.inf)
        mix, _ = functional_call(self.console, {"weight_logits": logits}, (sources,), {"gradients": False})
        return mix

    @torch.no_grad()
    def without(self, removed: Collection[int]) -> "PrunedConsole":
        """A smaller console with the values of what is left."""
        keep = torch.ones(self.graph.num_nodes, dtype=torch.bool)
        keep[list(removed)] = False
        smaller = PrunedConsole(remove_nodes(self.graph, list(removed)))

        def carry(values: Tensor, rows: Tensor, new_rows: Tensor) -> Tensor:
            return _by_node(rows, values, len(keep))[keep][new_rows]

        for kind, values in smaller.console.settings.items():
            for key, new in values.items():
                new.copy_(carry(self.console.settings[kind][key], self.rows_of(kind), smaller.rows_of(kind)))
        smaller.console.weight_logits.copy_(carry(self.console.weight_logits, self.nodes, smaller.nodes))
        return smaller


def _by_node(nodes: Tensor, values: Tensor, num_nodes: int) -> Tensor:
    """Values of some nodes at the places of their numbers, [num_nodes, ...]."""
    return values.new_zeros(num_nodes, *values.shape[1:]).index_copy(0, nodes, values)


class GrafxRecipe:
    """Mines one song.

    Args:
        objective: the song, its segments, and the ruler.
        console: the full console; only its structure counts.
        settings: of the budget, in the paper's proportions; rates, tolerance, policy and seed.
        note: called with each point of the history: seconds, L_a as graphmix measures it, pruning ratio.
    """

    def __init__(self, objective: Objective, console: MixGraph, settings: SearchSettings, note: Note) -> None:
        self.objective, self.settings, self.note = objective, settings, note
        self.loss, self.minimum, self.step, self.trials = PeerLoss(objective.song.sample_rate), torch.inf, 0, 0
        self.generator = torch.Generator().manual_seed(settings.seed)
        self.peer, self.counts = PrunedConsole(console), count_processors(console)
        self.peer.randomize(self.generator)
        self.segments = [(segment, *self._read(segment.start)) for segment in objective.segments]
        self._begun = perf_counter()

    def run(self) -> dict[str, Any]:
        """From the first step to the last; returns the last point of the history."""
        self._begun = perf_counter()
        self.train(self.settings.steps)
        point = self.report("console")
        policy = self.settings.new_policy()
        for index in range(self.settings.rounds):
            policy.begin(self.candidates(), index, self.settings.seed)
            self.prune(policy)
            self.report(f"pruning {index + 1}")
            self.train(self.settings.round_steps)
            point = self.report(f"fine-tuning {index + 1}")
        return point

    def train(self, steps: int) -> None:
        """Gradient descent with a fresh optimizer."""
        peer, settings = self.peer.console, self.settings
        optimizer = torch.optim.AdamW(peer.parameters(), lr=settings.learning_rate, weight_decay=0)
        prunable = torch.tensor(prunable_nodes(self.peer.graph), dtype=torch.long)
        for _ in range(steps):
            sources, target = self.draw()
            mix, intermediates = peer(sources)
            audio = self.loss(mix[..., self.objective.warmup :], target[..., self.objective.warmup :])
            staging, radii = (sum(own[key] for own in intermediates if key in own) for key in ("gain_reg", "radii_reg"))
            sparsity = settings.sparsity_at(self.step) * self.peer.weights[prunable].sum()
            optimizer.zero_grad(set_to_none=True)
            (audio + settings.gain_staging * staging + RADII * radii + sparsity).backward()
            optimizer.step()
            self.step += 1

    def draw(self) -> tuple[Tensor, Tensor]:
        """A random segment: sources [tracks, 2, samples] and target [1, 2, samples]."""
        last = max(0, self.objective.song.num_samples - self.objective.length)
        return self._read(int(torch.randint(last + 1, (), generator=self.generator)))

    def _read(self, start: int) -> tuple[Tensor, Tensor]:
        audio = self.objective.song.read(start, self.objective.length)
        assert audio.mix is not None, "checked when the objective was made"
        return self.objective.stems_for(self.peer.graph, audio.stems), audio.mix[None]

    def candidates(self) -> list[Candidate]:
        """Processors with their weights."""
        graph, weights = self.peer.graph, self.peer.weights.detach()
        return [Candidate(n, graph.type_of(n).name, float(weights[n])) for n in prunable_nodes(graph)]

    def prune(self, policy: Any) -> None:
        """The trials of one round; what they removed goes at the end."""
        self.minimum = min(self.minimum, self.evaluate(()))
        removed: list[int] = []
        while nodes := policy.propose():
            loss = self.evaluate([*removed, *nodes])
            kept = loss < self.minimum + self.settings.tolerance
            if kept:
                removed += nodes
                self.minimum = min(self.minimum, loss)
            policy.update(kept)
            self.trials += 1
        self.peer = self.peer.without(removed)

    def evaluate(self, removed: Collection[int]) -> float:
        """The peer's own loss over the whole song, without some nodes."""

        def own(mix: Tensor, target: Tensor, segment: EvalSegment) -> Tensor:
            scored = slice(segment.score_from, segment.score_to)
            return self.loss(mix[..., scored], target[..., scored])

        return self._mean(own, removed)

    def measure(self) -> float:
        """L_a of the mix as graphmix measures it for itself."""

        def ruler(mix: Tensor, _: Tensor, segment: EvalSegment) -> Tensor:
            prediction = mix[..., segment.score_from : segment.score_to]
            return self.objective.loss(prediction=prediction, target=self.objective.target(segment)).total

        return self._mean(ruler, ())

    def _mean(self, loss: Callable[[Tensor, Tensor, EvalSegment], Tensor], removed: Collection[int]) -> float:
        with torch.no_grad():
            losses = [s.weight * float(loss(self.peer.mix_without(removed, x), y, s)) for s, x, y in self.segments]
        return sum(losses) / sum(segment.weight for segment, _, _ in self.segments)

    def report(self, phase: str) -> dict[str, Any]:
        """Record a point of the history; the time that this takes does not count."""
        stopped = perf_counter()
        ratio = pruning_ratio(self.peer.graph, self.counts)["all"]
        point = {"phase": phase, "seconds": stopped - self._begun, "L_a": self.measure(), "rho": ratio}
        point |= {"step": self.step, "trials": self.trials}
        self.note(point)
        self._begun += perf_counter() - stopped
        return point
