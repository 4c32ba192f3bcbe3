"""Equations as MathML, which browsers draw themselves: no script, no font and no network on the reader's side."""

from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator


def _visit_math(self: HTML5Translator, node: nodes.math) -> None:
    self.body.append(convert(node.astext()))
    raise nodes.SkipNode


def _visit_display(self: HTML5Translator, node: nodes.math_block) -> None:
    self.body.append(f'<div class="math">{convert(node.astext(), display="block")}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Enter the renderer as ``mathml``."""
    app.add_html_math_renderer("mathml", (_visit_math, None), (_visit_display, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
