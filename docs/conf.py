"""The site: Sphinx with Markdown pages, executed tutorials, a gallery, and a reference made from docstrings.

Nothing is fetched at build time, nor by a reader's browser. What the build makes lies in folders that git ignores:
``docs/_build`` and, as Sphinx reads sources from this folder alone, ``docs/api``, ``docs/examples``, and copies of
pages that lie elsewhere in the repository (``docs/extensions/pages.py``).

Options, on the command line of ``sphinx-build``:

* ``-D nb_execution_mode=off``: show the tutorials without their outputs; the build then takes minutes less.
* ``-D plot_gallery=False``: show the gallery's scripts without their pictures.
* ``-t intersphinx``: link names of Python, PyTorch and NumPy to their own sites, whose indexes are then fetched.
"""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE / "extensions")]
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")]))

from graphmix import __version__

project = "graphmix"
author = "the graphmix developers"
version = release = __version__
copyright = "the graphmix developers, Apache-2.0"

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "myst_nb",
    "sphinx_gallery.gen_gallery",
    "sphinx_copybutton",
    "pages",
    "reference",
    "mathml",
]
exclude_patterns = [
    "_build",
    "search.md",
    "extensions",
    "gallery",
    *(f"examples/*.{end}" for end in ("py", "ipynb", "json", "zip")),
]

html_theme = "furo"
html_title = f"graphmix {version}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_math_renderer = "mathml"

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
maximum_signature_line_length = 80
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = [("Params", "params_style"), ("Shape", "returns_style"), "Not for"]
nitpick_ignore_regex = [("py:.*", r"(?!graphmix\b).*|graphmix[\w.]*\.(_\w+|Annotated)")]  # others', private names
default_role = "code"

myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 4
nb_execution_mode = "cache"
nb_execution_timeout = 3600
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_cache_path = str(HERE / "_build" / "notebooks")
nb_merge_streams = True

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "examples",
    "within_subsection_order": "FileNameSortKey",
    "filename_pattern": r".*\.py",
    "image_scrapers": ("gallery_pictures",),
    "reset_modules": (),
    "show_memory": False,
    "download_all_examples": False,
    "write_computation_times": False,
    "min_reported_time": 1e9,
    "remove_config_comments": True,
}

if tags.has("intersphinx"):  # type: ignore[name-defined]  # noqa: F821, Sphinx puts it here
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "torch": ("https://docs.pytorch.org/docs/stable", None),
        "numpy": ("https://numpy.org/doc/stable", None),
    }
