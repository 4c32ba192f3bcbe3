"""``graphmix predict``: let a model mix a folder of dry tracks."""

from pathlib import Path

from graphmix.cli.report_command import report_at_end
from graphmix.cli.terminal import new_console, say, say_notices


def run_predict(
    stems: Path, model: str, output: Path, device: str = "auto", force: bool = False, *, report: bool = True
) -> None:
    """``graphmix predict``.

    Args:
        stems: a folder of dry tracks, or of a song.
        model: a folder that ``graphmix train`` wrote, a file, or a name.
        output: output folder.
        device: where to compute.
        force: write into an output folder that holds something else.
        report: write a page to listen on.

    Raises:
        GraphmixError: bad input.
    """
    from graphmix.training.prediction import predict

    console = new_console()
    predicted = predict(stems, model, output, device=device, force=force)
    metrics = predicted.metrics
    say_notices(console, metrics["notices"])
    sound = ", ".join(f"{name.partition('_')[0]} {value:.1f}" for name, value in metrics["mix"].items())
    lines = [
        f"{metrics['song']}: {metrics['tracks']} tracks mixed by {model} in {sum(metrics['seconds'].values()):.1f} s",
        f"sound: peak {metrics['peak']:.3f}, {sound} (LUFS, dB)",
    ]
    if metrics["processors"] is not None:
        kinds = ", ".join(f"{count} {name}" for name, count in metrics["by_type"].items()) or "none"
        lines.append(f"graph: {metrics['processors']} processors ({kinds})")
    if "against_mix" in metrics:
        lines.append(f"against the song's mix: audio loss {metrics['against_mix']['audio_loss']:.4f}")
    made = "mix, pictures, metrics" if metrics["processors"] is None else "graph, mix, pictures, metrics"
    lines.append(f"{made}: {output}/")
    for line in lines:
        say(console, line)
    report_at_end(console, output, wanted=report, replace=True)
