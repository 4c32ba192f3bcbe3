"""The training loop of separators: resumable, logged, with the best weights kept and early stopping.

The output folder holds ``run.json`` (configuration and a digest of the songs, from the beginning), ``stems/`` (rendered
stems, if they are kept), ``state.safetensors`` (while the training runs), ``model.safetensors`` (the best weights so
far, as :func:`graphmix.models.masks.load_separator` reads them), ``log/`` and, when it is done, ``training.json``. Run
again, a finished folder is left alone and an unfinished one is resumed, with the numbers of an uninterrupted training.
"""

import hashlib
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graphmix.datasets.splits import artist_key, split_by_artist
from graphmix.errors import GraphError, GraphmixError
from graphmix.io import write_json
from graphmix.models.masks.files import load_separator, save_separator
from graphmix.models.masks.normalization import AmplitudeToDecibel, DataNorm
from graphmix.models.masks.separator import MaskEstimator, build_separator
from graphmix.progress import Listener, Silent
from graphmix.runs import RunFolder, RunStatus, first_difference
from graphmix.search.mine_song import choose_device
from graphmix.training.average import AveragedModel
from graphmix.training.devices import caught_interrupt, new_log_folder
from graphmix.training.folder import RESULT, STATE, difference, flatten, read_result, resume
from graphmix.training.separation.config import SeparationRun, SeparatorTraining
from graphmix.training.separation.remix import Remixer
from graphmix.training.separation.scores import improvement, score_song
from graphmix.training.separation.sources import SourceSong, find_source_songs
from graphmix.training.separation.stems import StemStore
from graphmix.training.separation.step import SeparationStep, as_channels
from graphmix.training.train_state import Progress, restore, save_state, seed_step

MODEL, STEMS = "model.safetensors", "stems"
MAX_SKIPPED = 20
"""So many steps may be left out because their gradient is not a number."""
STATISTICS_STEPS = 8
"""Batches from which normalization by data takes its means."""
WATCHED = "si_sdr_improvement_db"
Parts = Mapping[str, Sequence[SourceSong]]


@dataclass(frozen=True)
class TrainedSeparator:
    """A finished training: the model with its best weights, the content of ``training.json``, and the folder."""

    model: MaskEstimator
    facts: dict[str, Any]
    folder: Path
    already_done: bool = False


def train_separator(
    config: SeparatorTraining, out: str | Path, *, device: str = "auto", listener: Listener | None = None
) -> TrainedSeparator:
    """Train a separator into a folder, or resume its training.

    Args:
        config: model, sources, songs, augmentation, losses, budget.
        out: output folder; made if it is not there.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, …
        listener: shown the progress.

    Raises:
        GraphmixError: songs that cannot be learnt from, a device that is not there, an output folder that holds
            something else.
        FolderBusyError: another process works in the folder.
        KeyboardInterrupt: after Ctrl-C, when the state is written.
    """
    folder = Path(out)
    parts = split_source_songs(find_source_songs(config.data.songs, config.labels), config)
    run = {"config": config.model_dump(mode="json"), "songs": _digest(parts)}
    output = RunFolder(folder, run, RESULT, difference)
    if output.status() is RunStatus.FINISHED:
        return TrainedSeparator(load_separator(folder / MODEL)[0], read_result(folder), folder, already_done=True)
    with output.hold():
        state = resume(output)
        with torch.random.fork_rng():
            torch.manual_seed(config.training.seed)
            training = _Training(config, output, parts, state, choose_device(device), listener or Silent())
            training.run()
    return TrainedSeparator(load_separator(folder / MODEL)[0], read_result(folder), folder)


def split_source_songs(songs: Sequence[SourceSong], config: SeparatorTraining) -> dict[str, list[SourceSong]]:
    """Training, validation and test songs, without an artist in two of them.

    Songs of a collection's own test part are test songs; the others are split by ``data.validation`` and ``data.test``.

    Raises:
        GraphmixError: shares that leave nothing, or too few artists.
    """
    data = config.data
    open_songs = [song for song in songs if song.split != "test"]
    test = 0.0 if len(open_songs) < len(songs) else data.test
    keys = [artist_key(song.artist, song.id, song.collection) for song in open_songs]
    try:
        part_of = split_by_artist(keys, (1 - data.validation - test, data.validation, test), data.split_seed)
    except GraphError as error:
        raise GraphmixError(f"the songs cannot be split by data.validation and data.test: {error}") from None
    parts: dict[str, list[SourceSong]] = {"train": [], "validation": [], "test": []}
    for song, part in zip(open_songs, part_of, strict=True):
        parts[part].append(song)
    parts["test"] += [song for song in songs if song.split == "test"]
    return parts


def _digest(parts: Parts) -> str:
    lines = [f"{part} {song.collection} {song.id}" for part, songs in parts.items() for song in songs]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


class _Training:
    """One training, from its state on."""

    def __init__(
        self,
        config: SeparatorTraining,
        output: RunFolder,
        parts: Parts,
        state: tuple[Progress, dict[str, Tensor]],
        device: torch.device,
        listener: Listener,
    ) -> None:
        self.config, self.settings, self.output = config, config.training, output
        self.folder, self.parts, self.device, self.listener = output.path, parts, device, listener
        self.progress, tensors = state
        self.model = build_separator(config.model)
        output.begin()  # only now: what cannot be built leaves nothing behind
        data = config.data
        kept = Path(data.stems) if data.stems else self.folder / STEMS if data.keep_stems else None
        self.store = StemStore(kept, config.model.sources, config.model.sample_rate, wet=data.wet)
        self._render_stems()
        self.remixer = Remixer(parts["train"], self.store, config.remix, data.segment_seconds, self.settings.seed)
        self.step = SeparationStep(self.model, config.loss).to(device)
        rate, decay = self.settings.learning_rate, self.settings.weight_decay
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=rate, weight_decay=decay)
        if tensors:
            restore(tensors, self.model, self.optimizer, self.folder / STATE)
        elif self.settings.start:
            self._start_from(self.settings.start)
        else:
            self._set_statistics()
        self.average = AveragedModel(self.model, self.settings.average) if self.settings.average else None
        if self.average is not None and tensors:
            self.average.restore(tensors)
        self.logger = self._logger()
        self.saved = self.clock = time.monotonic()

    def run(self) -> None:
        """Train to the end."""
        settings, progress = self.settings, self.progress
        with caught_interrupt() as interrupted:
            if progress.best_step < 0:
                self._evaluate()
                self._save()
            self.listener.phase("training", settings.steps, progress.step)
            while progress.step < settings.steps and not 0 < settings.patience <= progress.waited:
                self._advance()
                due = progress.step % settings.evaluate_every == 0 or progress.step == settings.steps
                if due:
                    self._evaluate()
                    self.listener.phase("training", settings.steps, progress.step)
                stop = interrupted.is_set()
                if due or stop or time.monotonic() - self.saved >= settings.save_every_seconds:
                    self._save()
                if stop:
                    raise KeyboardInterrupt
        self._finish()

    def _start_from(self, source: str) -> None:
        """Take the weights of another separator.

        Raises:
            GraphmixError: it has another configuration.
        """
        other = load_separator(source)[0]
        ours, theirs = (flatten(model.config.model_dump(mode="json")) for model in (self.model, other))
        different = first_difference(theirs, ours)
        if different is not None:
            name, their, our = different
            raise GraphmixError(
                f"{source} has model.{name} = {their}, and this training {our}: a training starts from a separator of "
                "its own configuration."
            )
        self.model.load_state_dict(other.state_dict())

    def _render_stems(self) -> None:
        """Render all stems before the first step, so that steps take equally long."""
        songs = [song for part in ("train", "validation") for song in self.parts[part]]
        self.listener.phase("stems", len(songs))
        for done, song in enumerate(songs, start=1):
            self.store.prepare(song)
            self.listener.progress(done)

    @torch.no_grad()
    def _set_statistics(self) -> None:
        """Means from data, for models that are normalized by them."""
        if not any(isinstance(module, DataNorm) for module in self.model.modules()):
            return
        decibel, levels = AmplitudeToDecibel(), []
        for step in range(STATISTICS_STEPS):
            mixture = self.remixer.draw(step, self.settings.batch_size).mixture.to(self.device)
            representation = self.model.representation
            features = representation.features(representation.encode(as_channels(mixture, self.model.channels)))
            levels.append(decibel(features).transpose(1, 2).transpose(0, 2).flatten(2))
        level = torch.cat(levels, dim=-1)  # [channels, bins, all frames]
        self.model.set_statistics(level.mean(dim=-1), level.std(dim=-1))

    def _advance(self) -> None:
        """One step; left out where a gradient is not a number."""
        progress, settings = self.progress, self.settings
        seed_step(settings.seed, progress.step)
        batch = self.remixer.draw(progress.step, settings.batch_size)
        self.step.train()
        rate = rate_at(settings, progress.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        terms = self.step(type(batch)(*(part.to(self.device) for part in batch)))
        terms["total"].backward()
        norm = float(torch.nn.utils.clip_grad_norm_(self.model.parameters(), settings.clip))
        numbers = {name: float(value.detach()) for name, value in terms.items()}
        finite = math.isfinite(norm) and math.isfinite(numbers["total"])
        if finite:
            self.optimizer.step()
            if self.average is not None:
                self.average.update(self.model, progress.step)
        else:
            self._count_skipped()
        progress.step += 1
        if finite:
            progress.recent = [progress.recent[0] + numbers["total"], progress.recent[1] + 1]
        if progress.step % settings.log_every == 0 or progress.step == settings.steps:
            logged = {f"train/{name}": value for name, value in numbers.items()}
            self.logger.log_metrics({**logged, "rate": rate, "gradient": norm}, progress.step)
        best = math.nan if progress.best is None else -progress.best
        self.listener.progress(progress.step, settings.steps, loss=numbers["total"], best=best)

    def _count_skipped(self) -> None:
        self.progress.skipped += 1
        if self.progress.skipped > MAX_SKIPPED:
            raise GraphmixError(
                f"step {self.progress.step}: a gradient is not a number, for the {self.progress.skipped}th time; a "
                f"lower training.learning_rate than {self.settings.learning_rate:g} may help."
            )

    def _evaluate(self) -> None:
        """Evaluate the weights on the held-out songs, and keep them if they are the best so far."""
        progress = self.progress
        numbers = self._held_out_numbers()
        if not numbers:  # no held-out song: the mean training loss since the last evaluation
            total, count = progress.recent
            numbers = {"total": total / count if count else math.nan}
        progress.recent = [0.0, 0.0]
        better = progress.note(-numbers[WATCHED] if WATCHED in numbers else numbers["total"])
        progress.evaluations.append(
            {"step": progress.step, **{name: x if math.isfinite(x) else None for name, x in numbers.items()}}
        )
        self.logger.log_metrics({f"validation/{name}": number for name, number in numbers.items()}, progress.step)
        if better:
            save_separator(self.folder / MODEL, self._judged, self._facts())

    def _held_out_numbers(self) -> dict[str, float]:
        """Mean improvement on the held-out songs, and of each source; empty without such songs."""
        songs = self.parts["validation"]
        if not songs:
            return {}
        self.listener.phase("evaluating", len(songs))
        model = self._judged.eval()
        longest = round(self.config.data.validation_seconds * self.store.sample_rate)
        rows = list[Mapping[str, Tensor]]()
        for done, song in enumerate(songs, start=1):
            stems = self.store.whole(song)
            begin = max(0, (stems.size(-1) - longest) // 2)
            rows.append(score_song(model, stems[..., begin : begin + longest].to(self.device)))
            self.listener.progress(done)
        scores = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
        gains = scores["model"] - scores["mixture"]
        by_source = {
            f"{WATCHED}/{source}": float(column[column.isfinite()].mean())
            for source, column in zip(self.model.sources, gains.unbind(1), strict=True)
        }
        return {
            WATCHED: float(improvement(scores)),
            "ideal_improvement_db": float(improvement(scores, "ideal")),
            **by_source,
        }

    @property
    def _judged(self) -> MaskEstimator:
        """What is evaluated and kept: the model, or the average of its weights."""
        return self.model if self.average is None else self.average.model

    def _facts(self) -> dict[str, Any]:
        """Facts about the training, for the separator's file."""
        return {
            "config": self.output.run["config"],
            "step": self.progress.step,
            "watched": WATCHED,
            "value": None if self.progress.best is None else -self.progress.best,
            "songs": {part: len(songs) for part, songs in self.parts.items()},
        }

    def _save(self) -> None:
        now = time.monotonic()
        self.progress.seconds += now - self.clock
        self.clock = self.saved = now
        self.logger.save()
        average = None if self.average is None else self.average.tensors()
        save_state(self.folder / STATE, self.output.run, self.progress, self.model, self.optimizer, average)

    def _logger(self) -> Any:
        """Lightning's CSV log, a folder for each start."""
        from lightning_fabric.loggers import CSVLogger

        log = new_log_folder(self.folder, self.progress.step)
        return CSVLogger(log.parent, name=None, version=log.name, flush_logs_every_n_steps=1)

    def _finish(self) -> None:
        """Write the result, whose presence marks the folder as finished."""
        self._save()
        progress = self.progress
        facts = {
            **self._facts(),
            "step": progress.best_step,
            "steps": progress.step,
            "stopped_early": progress.step < self.settings.steps,
            "skipped_steps": progress.skipped,
            "seconds": round(progress.seconds, 2),
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "device": str(self.device),
            "evaluations": progress.evaluations,
        }
        write_json(self.folder / RESULT, facts)
        (self.folder / STATE).unlink(missing_ok=True)


def rate_at(settings: SeparationRun, step: int) -> float:
    """Learning rate of a step: a line from 0 over the warm-up, then half a cosine down to its final share."""
    warm = min(1.0, (step + 1) / settings.warmup_steps) if settings.warmup_steps else 1.0
    done = max(0, step - settings.warmup_steps) / max(1, settings.steps - settings.warmup_steps)
    fall = 0.5 + 0.5 * math.cos(math.pi * min(1.0, done))
    return settings.learning_rate * warm * (settings.final_rate + (1 - settings.final_rate) * fall)
