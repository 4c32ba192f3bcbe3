"""Size and opening time of a report: 16 tracks of four minutes, a full console of seven processors a track and bus.

The song is synthetic and its run is made without a search, from a console of which some processors are taken out at
random: what a page costs does not depend on how well it matches. Usage::

    python -m benchmarks.report_page FOLDER [--tracks 16] [--seconds 240] [--axe axe.min.js]

FOLDER is made, and holds some 800 MB. Needs Playwright and Chromium. Prints JSON.
"""

import argparse
import json
import shutil
import time
from pathlib import Path

import torch

from graphmix.audio import write_audio
from graphmix.graph import mixing_console, remove_nodes, save_graph
from graphmix.processors import Rack
from graphmix.report import write_report

RATE, SEARCH_RATE = 44100, 30000
KEPT = 0.33
"""Share of processors that pruning leaves, as in docs/benchmarks.md."""
OPENINGS = 5


def write_run(folder: Path, tracks: int, seconds: float) -> Path:
    """The folder of a song and of a run."""
    generator = torch.Generator().manual_seed(0)
    names = [f"{i:02d}.wav" for i in range(tracks)]
    buses = {f"bus {i}": names[4 * i : 4 * i + 4] for i in range((tracks + 3) // 4)}
    (folder / "dry").mkdir(parents=True)
    samples = round(seconds * RATE)
    total, time_s = torch.zeros(samples), torch.arange(samples) / RATE
    for i, name in enumerate(names):
        hits = torch.exp(-8 * ((time_s + 0.1 * i) % (0.4 + 0.05 * i)))
        tone = torch.sin(2 * torch.pi * 55 * 2 ** (i / 4) * time_s) + 0.3 * torch.randn(samples, generator=generator)
        track = 0.2 * hits * tone * (0.6 + 0.4 * torch.sin(2 * torch.pi * time_s / (20 + i)))
        write_audio(folder / "dry" / name, track[None], RATE)
        total += track
    mix = torch.stack([total, total.roll(20)]) * 0.4
    write_audio(folder / "mix.wav", mix, RATE)
    run = folder / "mined"
    run.mkdir()
    console = mixing_console(Rack.console("ecnsgdr", SEARCH_RATE), buses, "ecnsgdr")
    whole = mixing_console(Rack.console("ecnsgdr", RATE), buses, "ecnsgdr")
    nodes = whole.prunable.nonzero().flatten()
    gone = nodes[torch.rand(len(nodes), generator=generator) > KEPT].tolist()
    save_graph(remove_nodes(whole, gone), run / "graph.safetensors")
    save_graph(console, run / "console.safetensors")
    write_audio(run / "mix.wav", 0.9 * mix, RATE)
    write_trace(run, console, gone)
    source = {"mix": str(folder / "mix.wav"), "tracks": {n: str(folder / "dry" / n) for n in names}, "subgroups": buses}
    metrics = {
        "song": "benchmark", "source": source, "tracks": tracks, "subgroups": len(buses), "audio_loss": 0.5,
        "console_loss": 0.5, "baselines": {"plain sum": 1.0}, "processors_before": len(nodes),
        "processors_left": len(nodes) - len(gone), "si_sdr_db": 10.0, "settings": {"sample_rate": SEARCH_RATE},
    }  # fmt: skip
    (run / "metrics.json").write_text(json.dumps(metrics))
    return run


def write_trace(run: Path, console: object, gone: list[int]) -> None:
    """A trace of one round that removes the nodes one by one."""
    count = int(console.prunable.sum())
    records = [{"event": "evaluate", "step": 1, "loss": 0.5}]
    for node in gone:
        records.append(
            {"event": "trial", "step": 1, "candidates": [console.describe(node)], "kept": True, "weights": [1.0],
             "loss_before": 0.5, "loss_after": 0.5, "threshold": 0.51}
        )  # fmt: skip
    records.append({"event": "round", "step": 2, "round": 1, "loss": 0.5, "processors": count - len(gone)})
    (run / "trace.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def open_page(path: Path, axe: Path | None) -> dict[str, object]:
    """Seconds from the navigation until all is shown and until all versions are decoded; what axe-core finds."""
    from playwright.sync_api import sync_playwright

    shown, decoded, found = [], [], None
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(OPENINGS):
            page = browser.new_page()
            page.goto(path.as_uri())
            page.wait_for_function("document.documentElement.dataset.ready === 'yes'", timeout=120_000)
            shown.append(page.evaluate("Graphmix.page.shown") / 1000)
            decoded.append(page.evaluate("Graphmix.page.decoded") / 1000)
            if axe is not None and found is None:
                page.evaluate(axe.read_text(encoding="utf-8"))
                found = page.evaluate("axe.run().then((r) => r.violations.map((v) => [v.id, v.impact]))")
            page.close()
        version = browser.version
        browser.close()
    median = sorted(shown)[OPENINGS // 2], sorted(decoded)[OPENINGS // 2]
    return {"chromium": version, "shown_s": round(median[0], 2), "decoded_s": round(median[1], 2), "axe": found}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tracks", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=240.0)
    parser.add_argument("--axe", type=Path)
    given = parser.parse_args()
    run = given.folder / "mined"
    if not (run / "metrics.json").exists():
        write_run(given.folder.absolute(), given.tracks, given.seconds)
    started, cpu = time.perf_counter(), time.process_time()
    path = write_report(run)
    seconds = {"written_s": round(time.perf_counter() - started, 1), "cpu_s": round(time.process_time() - cpu, 1)}
    print(json.dumps({"bytes": path.stat().st_size, **seconds, **open_page(path, given.axe)}, indent=1))


if __name__ == "__main__":
    main()
