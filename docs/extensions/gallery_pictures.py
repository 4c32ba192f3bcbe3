"""The gallery's pictures: every figure that a script makes, as graphmix draws it (no pyplot)."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from sphinx_gallery.scrapers import figure_rst

from graphmix import plots


def save_figures(block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """Write the figures that a block made as PNG files, and return the RST that shows them."""
    names = block_vars["example_globals"]
    shown = names.setdefault("__shown__", [])
    figures = [value for value in names.values() if isinstance(value, Figure) and all(value is not f for f in shown)]
    shown.extend(figures)
    paths = [Path(next(block_vars["image_path_iterator"])) for _ in figures]
    for figure, path in zip(figures, paths, strict=True):
        plots.save(figure, path.with_suffix(".png"))
    return figure_rst([str(path.with_suffix(".png")) for path in paths], gallery_conf["src_dir"])


def _get_sg_image_scraper() -> Any:
    """What the gallery asks a module for that it is given by name."""
    return save_figures
