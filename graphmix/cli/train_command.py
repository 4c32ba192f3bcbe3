"""``graphmix train``: train a model into a folder, show how it goes and what came out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import TaskID

from graphmix.cli.effects import files_of
from graphmix.cli.progress import ProgressListener


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
    from graphmix.training.trainer import train

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
    if trained.already_done:
        console.print(f"{out} is finished already; nothing to do.", markup=False, soft_wrap=True)
    for line in _in_words(trained.facts, out):
        console.print(line, markup=False, soft_wrap=True)


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
