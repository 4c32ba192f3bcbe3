"""``graphmix predict``: let a model mix a folder of dry tracks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from graphmix.cli.report_command import report_at_end
from graphmix.cli.terminal import new_console, say, say_notices


def run_predict(
    stems: Path,
    model: str,
    output: Path,
    device: str = "auto",
    force: bool = False,
    *,
    report: bool = True,
    rules: bool = True,
    keep: Sequence[str] = (),
    reference: Path | None = None,
    variants: int = 1,
    seed: int = 0,
) -> None:
    """``graphmix predict``.

    Args:
        stems: a folder of dry tracks, or of a song.
        model: a folder that ``graphmix train`` wrote, a file, or a name.
        output: output folder.
        device: where to compute.
        force: write into an output folder that holds something else.
        report: write a page to listen on.
        rules: let the graph keep the rules of :mod:`graphmix.training.rules`.
        keep: decisions that stay as they are.
        reference: a mix of another song, whose style is wanted.
        variants: number of mixes; more than one come from a model that knows several.
        seed: of variants.

    Raises:
        GraphmixError: bad input.
    """
    from graphmix.training.prediction import USUAL_RULES, predict, predict_variants

    console = new_console()
    wanted = {"rules": USUAL_RULES if rules else None, "keep": keep, "reference": reference}
    common: dict[str, Any] = {"device": device, "force": force, **wanted}
    if variants == 1:
        made = [predict(stems, model, output, **common)]
    else:
        made = predict_variants(stems, model, output, variants, seed=seed, **common)
    for predicted in made:
        _say_prediction(console, predicted.metrics, model, predicted.folder)
        report_at_end(console, predicted.folder, wanted=report, replace=True)


def _say_prediction(console: Console, metrics: Mapping[str, Any], model: str, folder: Path) -> None:
    say_notices(console, metrics["notices"])
    sound = ", ".join(f"{name.partition('_')[0]} {value:.1f}" for name, value in metrics["mix"].items())
    score = f", score {metrics['score']:.2f}" if "score" in metrics else ""
    lines = [
        f"{metrics['song']}: {metrics['tracks']} tracks mixed by {model} in {sum(metrics['seconds'].values()):.1f} s"
        f"{score}",
        f"sound: peak {metrics['peak']:.3f}, {sound} (LUFS, dB)",
    ]
    if metrics["processors"] is not None:
        kinds = ", ".join(f"{count} {name}" for name, count in metrics["by_type"].items()) or "none"
        lines.append(f"graph: {metrics['processors']} processors ({kinds})")
    lines += [f"rule: {change}" for change in metrics.get("rules", ())]
    if "reference" in metrics:
        before, after = metrics["reference"]["before"], metrics["reference"]["after"]
        parts = ", ".join(f"{name} {value:.1f} -> {after[name]:.1f}" for name, value in before.items())
        lines.append(f"distance to the reference, dB: {parts}")
    if "against_mix" in metrics:
        lines.append(f"against the song's mix: audio loss {metrics['against_mix']['audio_loss']:.4f}")
    made = "mix, pictures, metrics" if metrics["processors"] is None else "graph, mix, pictures, metrics"
    lines.append(f"{made}: {folder}/")
    for line in lines:
        say(console, line)
