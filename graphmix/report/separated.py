"""The page of a separated mix: the mix and its stems."""

from pathlib import Path
from typing import Any

from graphmix.audio.files import read_info
from graphmix.errors import GraphmixError
from graphmix.io import read_json
from graphmix.progress import Listener
from graphmix.report.error_map import level_maps
from graphmix.report.page import Content, Limits, Table, Version, clock
from graphmix.report.stretches import cut_file, loudest_stretch


def describe_separated(folder: Path, limits: Limits, listener: Listener) -> Content:
    """What the page of a separated mix shows.

    Args:
        folder: of the separation, finished.
        limits: of the page.
        listener: shown the progress.

    Raises:
        GraphmixError: files that are missing or damaged.
    """
    listener.phase("report: reading the stems", None)
    about = read_json(folder / "separation.json", error=GraphmixError, fix="separate the mix again")
    try:
        stems: dict[str, dict[str, Any]] = about["stems"]
        files = {"mix": folder / "mix.wav"} | {name: folder / stem["file"] for name, stem in stems.items()}
        facts = _facts(about)
        rows = [[name, f"{100 * stem['share_of_energy']:.1f} %"] for name, stem in stems.items()]
    except (KeyError, TypeError, AttributeError):
        raise GraphmixError(f"{folder / 'separation.json'} is damaged: separate the mix again.") from None
    seconds = read_info(files["mix"]).seconds
    stretch = loudest_stretch(files["mix"], limits.stretch(len(files), 0, seconds))
    versions = [
        Version(name, cut_file(path, stretch), "what was separated" if name == "mix" else "a stem")
        for name, path in files.items()
    ]
    return Content(
        title=str(about["song"]),
        kind="separated",
        lead=f"The mix was taken apart into {len(stems)} stems, which add up to it.",
        facts=facts,
        versions=versions,
        song_seconds=seconds,
        maps=level_maps([v.sound for v in versions]),
        has_target=False,
        tables=[Table("Stems", ("stem", "share of the mix's energy"), rows)],
        notices=[str(notice) for notice in about.get("notices", [])],
    )


def _facts(about: dict[str, Any]) -> list[tuple[str, str]]:
    model = about["model"]
    return [
        ("length", clock(float(about["duration"]))),
        ("sources", ", ".join(model["sources"])),
        ("separator's rate", f"{model['sample_rate'] / 1000:g} kHz"),
        ("mix", f"{about['sample_rate'] / 1000:g} kHz, {'stereo' if about['channels'] == 2 else 'mono'}"),
        ("Wiener iterations", str(model["iterations"])),
    ]
