"""``graphmix train``: train a model into a folder, show how it goes and what came out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import TaskID

from graphmix.cli.effects import files_of
from graphmix.cli.progress import ProgressListener
from graphmix.errors import GraphmixError


class TrainingListener(ProgressListener):
    """One bar for each kind of phase, however often it comes back."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._known: dict[str, TaskID] = {}

    def _close(self) -> None:
        self._task = None

    def phase(self, name: str, total: int | None, done: int = 0) -> None:
        """The bar of that name, a new one at the first time."""
        if name in self._known:
            self._task = self._known[name]
            self._progress.update(self._task, total=total, completed=done)
            return
        super().phase(name, total, done)
        assert self._task is not None, "a phase has a bar"
        self._known[name] = self._task


def run_train(
    config: str,
    out: Path,
    songs: Sequence[Path] = (),
    *,
    steps: int | None = None,
    seed: int | None = None,
    device: str | None = None,
    devices: int | None = None,
    precision: str | None = None,
    chain: str | None = None,
    effects: Sequence[str] = (),
) -> None:
    """``graphmix train``.

    Args:
        config: a TOML file, or the name of a configuration that comes with graphmix.
        out: output folder; an unfinished training in it is continued.
        songs: folders of songs, instead of the configuration's.
        steps, seed, device, devices, precision, chain: instead of the configuration's.
        effects: captured effects, each as ``letter=FILE``, instead of the configuration's.

    Raises:
        GraphmixError: bad input.
    """
    from graphmix.training.config import load_config
    from graphmix.training.separation.config import find_separator_config
    from graphmix.training.trainer import train

    if find_separator_config(config) is not None:
        _refuse(config, devices=devices, precision=precision, chain=chain, effect=effects or None)
        train_separator_into(config, out, songs, steps=steps, seed=seed, device=device)
        return
    settings = load_config(config).changed(
        model={"chain": chain, "effects": files_of(effects) or None},
        data={"songs": [str(folder) for folder in songs] or None},
        training={"steps": steps, "seed": seed},
        device={"accelerator": device, "devices": devices, "precision": precision},
    )
    console = Console(highlight=False)
    with TrainingListener(console) as listener:
        trained = train(settings, out, listener=listener)
    if not trained.is_first:
        return
    _show(console, out, trained.already_done, _in_words(trained.facts, out))


def _show(console: Console, out: Path, already_done: bool, lines: Sequence[str]) -> None:
    """What came out of a training."""
    for line in [*[f"{out} is finished already; nothing to do."] * already_done, *lines]:
        console.print(line, markup=False, soft_wrap=True)


def _refuse(config: str, **options: Any) -> None:
    """Options that the training of a separator does not have.

    Raises:
        GraphmixError: one was given.
    """
    given = next((name for name, value in options.items() if value is not None), None)
    if given is not None:
        raise GraphmixError(f"{config} trains a separator, which has no --{given}; leave it out.")


def train_separator_into(
    config: str,
    out: Path,
    songs: Sequence[Path] = (),
    *,
    steps: int | None = None,
    seed: int | None = None,
    device: str | None = None,
) -> None:
    """``graphmix train separator``: options as of :func:`run_train`.

    Raises:
        GraphmixError: bad input.
    """
    from graphmix.training.separation import load_separator_config, train_separator

    settings = load_separator_config(config).changed(
        data={"songs": [str(folder) for folder in songs] or None}, training={"steps": steps, "seed": seed}
    )
    console = Console(highlight=False)
    with TrainingListener(console) as listener:
        trained = train_separator(settings, out, device=device or "auto", listener=listener)
    _show(console, out, trained.already_done, _separator_in_words(trained.facts, out))


def _separator_in_words(facts: dict[str, Any], out: Path) -> list[str]:
    songs = ", ".join(f"{count} {part}" for part, count in facts["songs"].items() if count)
    model = facts["config"]["model"]
    ended = ", stopped early" if facts["stopped_early"] else ""
    lines = [
        f"{model['model']} of {', '.join(model['sources'])}: {facts['parameters']} weights, songs: {songs}",
        f"{facts['steps']} steps in {facts['seconds']:.0f} s{ended}; best weights at step {facts['step']}",
    ]
    best: dict[str, Any] = next((row for row in facts["evaluations"] if row["step"] == facts["step"]), {})
    if best.get("si_sdr_improvement_db") is not None:
        lines.append(
            f"held-out songs: SI-SDR {best['si_sdr_improvement_db']:.2f} dB above the mixture's; the ideal ratio mask: "
            f"{best['ideal_improvement_db']:.2f} dB"
        )
    return [*lines, f"Use it:  graphmix separate MIX --model {out} -o stems"]


def _in_words(facts: dict[str, Any], out: Path) -> list[str]:
    songs = ", ".join(f"{count} {part}" for part, count in facts["songs"].items() if count)
    value = "unknown" if facts["value"] is None else f"{facts['value']:.4f}"
    ended = ", stopped early" if facts["stopped_early"] else ""
    return [
        f"{facts['config']['model']['name']}: {facts['parameters']} weights, songs: {songs}",
        f"{facts['steps']} steps in {facts['seconds']:.0f} s{ended}; "
        f"best {facts['watched']} {value} at step {facts['step']}",
        f"Use it:  graphmix predict STEMS --model {out} -o mixed",
    ]
