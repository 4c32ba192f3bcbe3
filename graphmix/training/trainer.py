"""The training loop, on Lightning Fabric: on one device or several, resumable, logged, with early stopping.

The output folder holds ``run.json`` (the configuration and a digest of the songs, from the beginning),
``state.safetensors`` (the state, while the training runs), ``model.safetensors`` and ``model.json`` (the best weights
so far, a checkpoint as :mod:`graphmix.training.checkpoint` reads it), ``log/`` (CSV or TensorBoard, a folder for each
start) and, when it is done, ``training.json``. Every file is complete or absent. Run again, a finished folder is left
alone and an unfinished one is resumed from its last state, with the same numbers as an uninterrupted training.
"""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from graphmix.datasets.records import Record
from graphmix.errors import GraphmixError
from graphmix.io import write_json
from graphmix.models.effects.captured import effect_from_text
from graphmix.models.mixing.estimator import Estimator, build_estimator
from graphmix.processors.rack import sources_of
from graphmix.progress import Listener, Silent
from graphmix.runs import RunStatus
from graphmix.training.checkpoint import load_estimator, save_estimator
from graphmix.training.config import RunConfig, TrainConfig
from graphmix.training.data import Batch, SongSegments, StepSampler, artist_of, songs_in, split_songs
from graphmix.training.devices import caught_interrupt, ignore_interrupts, make_fabric, new_log_folder
from graphmix.training.features import SongFeatures
from graphmix.training.folder import MODEL, RESULT, STATE, describe_run, read_result, resume, run_folder
from graphmix.training.step import TrainingStep
from graphmix.training.train_state import Progress, restore, save_state, seed_step

MAX_SKIPPED = 20
"""So many steps may be left out because their gradient is not a number."""
_TRAIN_MEMORY = 0.8
"""Share of the memory for decoded songs that those of the training get; held-out songs get the rest."""
State = tuple[Progress, dict[str, Tensor]]


@dataclass(frozen=True)
class Trained:
    """A finished training: the model with its best weights, the content of ``training.json``, and the folder.

    ``is_first`` is false in all but one of the processes of a training on several devices.
    """

    estimator: Estimator
    facts: dict[str, Any]
    folder: Path
    already_done: bool = False
    is_first: bool = True


def train(
    config: TrainConfig, out: str | Path, *, listener: Listener | None = None, features: SongFeatures | None = None
) -> Trained:
    """Train a model into a folder, or resume its training.

    Args:
        config: model, songs, losses, budget, devices; see :func:`graphmix.training.load_config`.
        out: output folder; made if it is not there.
        listener: shown the progress, on one device.
        features: of whole songs, from other trainings on one device, which are not computed again; those of this one
            are added.

    Raises:
        GraphmixError: songs that cannot be learnt from, a device that is not there, an output folder that holds
            something else.
        FolderBusyError: another process works in the folder.
        KeyboardInterrupt: after Ctrl-C, when the state is written.
    """
    folder, data = Path(out), config.data
    records = songs_in(data.songs, data.max_tracks)
    parts = split_songs(records, data.validation, data.test, data.split_seed)
    run = describe_run(_plain(config), parts)
    output = run_folder(folder, run)
    if output.status() is RunStatus.FINISHED:
        return Trained(load_estimator(folder), read_result(folder), folder, already_done=True)
    alone = config.device.devices == 1  # the processes of several devices share the folder: a lock would part them
    with output.hold() if alone else nullcontext():
        state = resume(output)
        fabric = make_fabric(config, new_log_folder(folder, state[0].step))
        watching = listener if alone else None  # a listener does not travel to other processes
        fabric.launch(_run, config, folder, run, parts, state, watching, features if alone else None)
    return Trained(load_estimator(folder), read_result(folder), folder, is_first=bool(fabric.is_global_zero))


def _plain(config: TrainConfig) -> dict[str, Any]:
    """The configuration as JSON values; it names captured effects by their digests, wherever their files are."""
    plain = config.model_dump(mode="json")
    effects = [effect_from_text(text, letter) for letter, text in config.model.effects.items()]
    if effects:
        plain["model"]["effects"] = sources_of(effects)
    return plain


def _run(
    fabric: Any,
    config: TrainConfig,
    folder: Path,
    run: Mapping[str, Any],
    parts: Mapping[str, Sequence[Record]],
    state: State,
    listener: Listener | None,
    features: SongFeatures | None,
) -> None:
    """The training of one process."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.training.seed)
        training = _Training(fabric, config, folder, run, parts, state, listener or Silent(), features)
        if fabric.is_global_zero:  # only now: what cannot be trained leaves nothing behind
            run_folder(folder, run).begin()
        fabric.barrier()
        training.run()
    fabric.barrier()


class _Training:
    """One process of a training."""

    def __init__(
        self,
        fabric: Any,
        config: TrainConfig,
        folder: Path,
        run: Mapping[str, Any],
        parts: Mapping[str, Sequence[Record]],
        state: State,
        listener: Listener,
        features: SongFeatures | None,
    ) -> None:
        self.fabric, self.config, self.settings = fabric, config, config.training
        self.folder, self.described, self.parts, self.listener = folder, run, parts, listener
        self.progress, tensors = state
        self.songs = self._segments("train", _TRAIN_MEMORY)
        self.held_out = self._segments("validation", 1 - _TRAIN_MEMORY)
        self.estimator = build_estimator(config.model)
        self.step = TrainingStep(self.estimator, config.loss)
        listener.phase("reading the graphs", len(self.songs))
        self.step.prepare(self.songs, fit=not tensors, progress=listener.progress)
        if config.data.encode == "song":
            for part in (self.songs, self.held_out):
                listener.phase("encoding the songs", len(part))
                self.step.encode_songs(part, listener.progress, features)
        trainable = [p for p in self.estimator.parameters() if p.requires_grad]
        rate, decay = self.settings.learning_rate, self.settings.weight_decay
        self.optimizer = torch.optim.AdamW(trainable, lr=rate, weight_decay=decay) if trainable else None
        self.module: Any = self.step.to(fabric.device)
        self.moving: Any = None
        if self.optimizer is not None:
            self.module, self.moving = fabric.setup(self.step, self.optimizer)
        if tensors:
            restore(tensors, self.estimator, self.optimizer, folder / STATE)
        if self.progress.scaler:
            fabric.strategy.precision.load_state_dict(self.progress.scaler)
        self.saved = self.clock = time.monotonic()

    def _segments(self, part: str, share: float) -> SongSegments:
        data = self.config.data
        return SongSegments(
            self.parts[part],
            self.config.model.sample_rate,
            segment_seconds=data.segment_seconds,
            warmup_seconds=data.warmup_seconds,
            seed=self.settings.seed,
            memory_bytes=round(data.memory_gb * 2**30 * share / self.fabric.world_size),
            fixed_places=data.fixed_places,
        )

    @property
    def done(self) -> bool:
        """Whether no step is left, or patience has run out."""
        progress, settings = self.progress, self.settings
        tired = 0 < settings.patience <= progress.waited
        return self.optimizer is None or progress.step >= settings.steps or tired

    def run(self) -> None:
        """Train from the current state to the end."""
        settings, progress = self.settings, self.progress
        with caught_interrupt() as interrupted:
            if progress.best_step < 0:
                self._evaluate()
                self._save()
            batches = self._batches()
            self.listener.phase("training", settings.steps, progress.step)
            while not self.done:
                self._advance(next(batches))
                due = progress.step % settings.evaluate_every == 0 or progress.step == settings.steps
                if due:
                    self._evaluate()
                    self.listener.phase("training", settings.steps, progress.step)
                stop = self._any(interrupted.is_set())
                if due or stop or time.monotonic() - self.saved >= settings.save_every_seconds:
                    self._save()
                if stop:
                    raise KeyboardInterrupt
        self._finish()

    def _batches(self) -> Iterator[Batch]:
        """The remaining steps: first those without sound, for which none is read."""
        last, after = self.settings.steps, self.settings.silent_steps
        for first, end, with_audio in (
            (self.progress.step, after, False),
            (max(self.progress.step, after), last, True),
        ):
            if first < end:
                self.step.with_audio = with_audio
                self.songs.silent = not self.step.needs_audio
                yield from self._loader((first, end))

    def _loader(self, steps: tuple[int, int]) -> "DataLoader[Any]":
        settings, fabric = self.settings, self.fabric
        return DataLoader(
            self.songs,
            batch_sampler=StepSampler(
                len(self.songs), settings.batch_size, steps, settings.seed, fabric.global_rank, fabric.world_size
            ),
            collate_fn=Batch,
            num_workers=self.config.data.workers,
            worker_init_fn=ignore_interrupts,
        )

    def _advance(self, batch: Batch) -> None:
        """One step; left out where a gradient is not a number."""
        progress, settings = self.progress, self.settings
        assert self.optimizer is not None, "there are steps only where something can be moved"
        seed_step(settings.seed, progress.step, self.fabric.global_rank)
        self.step.train()
        rate = rate_at(settings, progress.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.moving.zero_grad(set_to_none=True)
        terms = self.module(batch)
        self.fabric.backward(terms["total"])
        norm = self.fabric.clip_gradients(self.module, self.moving, max_norm=settings.clip, error_if_nonfinite=False)
        scaled = self.config.device.precision == "16-mixed"  # its scaler leaves steps out itself, and some always
        finite = bool(norm.isfinite())
        if finite or scaled:
            self.moving.step()
        if not finite:
            self._count_skipped(scaled)
        progress.step += 1
        numbers = {name: float(value.detach()) for name, value in terms.items()}
        if finite:
            progress.recent = [progress.recent[0] + numbers["total"], progress.recent[1] + 1]
        if progress.step % settings.log_every == 0 or progress.step == settings.steps:
            logged = {f"train/{name}": value for name, value in numbers.items()}
            self.fabric.log_dict({**logged, "rate": rate, "gradient": float(norm)}, progress.step)
        best = math.nan if progress.best is None else progress.best
        self.listener.progress(progress.step, settings.steps, loss=numbers["total"], best=best)

    def _count_skipped(self, scaled: bool) -> None:
        progress = self.progress
        progress.skipped += 1
        if progress.skipped > MAX_SKIPPED and not scaled:
            raise GraphmixError(
                f"step {progress.step}: a gradient is not a number, for the {progress.skipped}th time; a lower "
                f"training.learning_rate than {self.settings.learning_rate:g} may help."
            )

    def _any(self, flag: bool) -> bool:
        """Whether the flag is set in any process; all have to stop at the same step."""
        return self._sum([float(flag)])[0] > 0

    def _sum(self, numbers: Sequence[float]) -> list[float]:
        """Sums over the processes."""
        if self.fabric.world_size == 1:
            return list(numbers)
        tensor = torch.tensor(numbers, dtype=torch.float32, device=self.fabric.device)
        return [float(x) for x in self.fabric.all_reduce(tensor, reduce_op="sum")]

    def _evaluate(self) -> None:
        """Evaluate the weights on the held-out songs, and keep them if they are the best so far."""
        progress = self.progress
        numbers = self._held_out_numbers()
        if not numbers:  # no held-out song: the mean training loss since the last evaluation
            total, count = self._sum(progress.recent)
            numbers = {"total": total / count if count else math.nan}
        progress.recent = [0.0, 0.0]
        better = progress.note(numbers.get(self.settings.watch, numbers["total"]))
        progress.evaluations.append({"step": progress.step, **{name: known(x) for name, x in numbers.items()}})
        self.fabric.log_dict({f"validation/{name}": number for name, number in numbers.items()}, progress.step)
        if better and self.fabric.is_global_zero:
            save_estimator(self.estimator, self.folder / MODEL, training=self._facts())

    def _held_out_numbers(self) -> dict[str, float]:
        """Means over the segments of the held-out songs, shared among the processes; empty without such songs."""
        mine = range(self.fabric.global_rank, len(self.held_out), self.fabric.world_size)
        if not len(self.held_out):
            return {}
        self.listener.phase("evaluating", len(mine))
        self.step.eval()
        sums = [0.0] * (len(self.step.judged) + 1)
        for done, index in enumerate(mine, start=1):
            for example in self.held_out.fixed(index, self.config.data.validation_segments):
                numbers = self.step.judge(Batch([example]))
                row = [*(numbers[name] for name in self.step.judged), 1.0]
                sums = [a + b for a, b in zip(sums, row, strict=True)]
            self.listener.progress(done)
        *totals, count = self._sum(sums)
        return {name: number / count for name, number in zip(self.step.judged, totals, strict=True)}

    def _facts(self) -> dict[str, Any]:
        """Facts about the training, for checkpoints."""
        return {
            "config": self.described["config"],
            "step": self.progress.step,
            "watched": self.settings.watch,
            "value": self.progress.best,
            "songs": {part: len(records) for part, records in self.parts.items()},
            "artists": sorted({artist_of(record) for record in self.parts["train"]}),
        }

    def _save(self) -> None:
        now = time.monotonic()
        self.progress.seconds += now - self.clock
        self.clock = self.saved = now
        if not self.fabric.is_global_zero:
            return
        self.progress.scaler = dict(self.fabric.strategy.precision.state_dict())
        save_state(self.folder / STATE, self.described, self.progress, self.estimator, self.optimizer)

    def _finish(self) -> None:
        """Write the result, whose presence marks the folder as finished."""
        self._save()
        for logger in self.fabric.loggers:
            logger.finalize("success")
        if not self.fabric.is_global_zero:
            return
        progress = self.progress
        facts = {
            **self._facts(),
            "step": progress.best_step,
            "steps": progress.step,
            "stopped_early": self.optimizer is not None and progress.step < self.settings.steps,
            "skipped_steps": progress.skipped,
            "seconds": round(progress.seconds, 2),
            "parameters": sum(p.numel() for p in self.estimator.parameters() if p.requires_grad),
            "device": str(self.fabric.device),
            "processes": self.fabric.world_size,
            "evaluations": progress.evaluations,
        }
        write_json(self.folder / RESULT, facts)
        (self.folder / STATE).unlink(missing_ok=True)


def known(number: float) -> float | None:
    """For JSON, which has no infinity: None where a number is none."""
    return number if math.isfinite(number) else None


def rate_at(settings: RunConfig, step: int) -> float:
    """Learning rate of a step: a line from 0 over the warm-up, then half a cosine down to its final share.

    Steps with sound, after steps without, begin with a share of the rate and fall along a cosine of their own.
    """
    silent = settings.silent_steps
    first, last, top = settings.warmup_steps, silent or settings.steps, settings.learning_rate
    if silent and step >= silent:
        first, last, top = silent, settings.steps, settings.learning_rate * settings.audio_rate
    warm = min(1.0, (step + 1) / settings.warmup_steps) if settings.warmup_steps else 1.0
    fall = 0.5 + 0.5 * math.cos(math.pi * min(1.0, max(0, step - first) / max(1, last - first)))
    return top * warm * (settings.final_rate + (1 - settings.final_rate) * fall)
