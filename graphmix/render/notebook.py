"""A plan in a notebook: a table of its stages."""

import html
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graphmix.render.schedule import Plan

_COLUMNS = ("stage", "type", "nodes", "domain", "transforms")


def plan_html(plan: "Plan") -> str:
    """A plan as HTML; lengths of transforms depend on the segment, and so are not in it."""
    heads = "".join(f"<th>{name}</th>" for name in _COLUMNS)
    rows = ""
    for i, stage in enumerate(plan.stages):
        domain = "time" if stage.fft_group is None else f"spectrum, FFT group {stage.fft_group}"
        cells = (i, stage.kind, len(stage.nodes), domain, plan.count_transforms(i))
        rows += "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in cells) + "</tr>"
    caption = f"<caption>{html.escape(plan.count_stages())}</caption>"
    return f"<table>{caption}<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
