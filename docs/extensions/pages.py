"""Pages of the site that lie elsewhere in the repository, links between them, and the navigation.

Sphinx reads sources from one folder, so tutorials, cards of data sets, changelog and contributing guide are copied to
folders of ``docs`` that git ignores. Links are written for readers of the repository; here they are turned to where a
page lies on the site. The navigation is made from the tables of ``docs/index.md``: a heading is a caption, and the
first column's links are its pages. A page in ``docs`` that no table lists comes last, under "More".
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath
from typing import Any

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
COPIED_FOLDERS = ("tutorials", "datasets")
COPIED_FILES = {
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "docs/search.md": "project/the_search.md",  # "search" is Sphinx's own page
}
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)")
HEADING = re.compile(r"^## (.+)$", re.M)
FIRST_COLUMN = re.compile(r"^\| \[[^\]]+\]\(([^)#\s]+)\)", re.M)
MADE_HERE = """
## Made by the build

| page | answers |
|---|---|
| [Reference](api/index.rst) | What does each public name take, give and raise? |
| [Gallery](examples/index.rst) | What do graphs, settings and results look like, and by which lines are they drawn? |
"""
"""The end of the front page."""


def site_path(path: PurePosixPath) -> PurePosixPath | None:
    """Where a file of the repository lies among the site's sources; None for what is no page."""
    if str(path) in COPIED_FILES:
        return PurePosixPath(COPIED_FILES[str(path)])
    if path.parts[0] == "docs":
        return PurePosixPath(*path.parts[1:])
    if path.parts[0] in COPIED_FOLDERS:
        return path.with_name("index.md") if path.name == "README.md" else path
    return None


def origin(page: PurePosixPath) -> PurePosixPath:
    """The inverse of :func:`site_path`."""
    names = {to: name for name, to in COPIED_FILES.items()}
    if str(page) in names:
        return PurePosixPath(names[str(page)])
    if page.parts[0] in COPIED_FOLDERS:
        return page.with_name("README.md") if page.name == "index.md" else page
    return PurePosixPath("docs", page)


def copied() -> Iterator[tuple[Path, Path]]:
    """Sources outside of ``docs`` and where they are copied to."""
    files = [file for folder in COPIED_FOLDERS for file in sorted((ROOT / folder).iterdir())]
    for file in [*files, *(ROOT / name for name in COPIED_FILES)]:
        if file.suffix in (".md", ".ipynb"):
            target = site_path(PurePosixPath(file.relative_to(ROOT)))
            assert target is not None, "copied files are pages"
            yield file, DOCS / target


def copy_pages(app: Sphinx) -> None:
    """Bring the sources of all pages into one folder; what is as it was keeps its time."""
    for source, target in copied():
        target.parent.mkdir(exist_ok=True)
        if not target.exists() or target.read_bytes() != source.read_bytes():
            shutil.copyfile(source, target)
    wanted = {target for _, target in copied()}
    for folder in {target.parent for target in wanted}:
        for stale in set(folder.iterdir()) - wanted:
            if stale.is_file():
                stale.unlink()


def turn_links(text: str, page: PurePosixPath) -> str:
    """Links of a page as they are on the site.

    Raises:
        ExtensionError: a link to a file that is no page of the site.
    """
    at = origin(page)

    def turned(found: re.Match[str]) -> str:
        target = PurePosixPath(normpath(at.parent / found[1]))
        place = site_path(target)
        if place is None:
            raise ExtensionError(f"{at} links to {found[1]}, which is no page of the site; link to a page.")
        return relpath(place, page.parent)

    return LINK.sub(turned, text)


def navigation(text: str) -> dict[str, list[str]]:
    """Captions of the front page and the pages below each, as names of documents."""
    parts = HEADING.split(text)
    listed = {
        caption: [str(PurePosixPath(link).with_suffix("")) for link in FIRST_COLUMN.findall(part)]
        for caption, part in zip(parts[1::2], parts[2::2], strict=True)
    }
    known = {name for names in listed.values() for name in names} | {"index"}
    pages = [site_path(PurePosixPath("docs", page.name)) for page in sorted(DOCS.glob("*.md"))]
    listed["More"] = [name for page in pages if page and (name := str(page.with_suffix(""))) not in known]
    return {caption: names for caption, names in listed.items() if names}


def toctree(names: list[str], caption: str = "") -> str:
    """A hidden list of pages for the navigation."""
    lines = ["", "```{toctree}", ":hidden:", *([f":caption: {caption}"] if caption else []), "", *names, "```", ""]
    return "\n".join(lines)


def read_page(app: Sphinx, docname: str, source: list[str]) -> None:
    """Turn the links of a page, and add navigation to the front page and to those of folders."""
    path = Path(app.env.doc2path(docname))
    if path.suffix not in (".md", ".ipynb"):
        return
    page = PurePosixPath(path.relative_to(app.srcdir))
    source[0] = turn_links(source[0], page)
    if docname == "index":
        source[0] += MADE_HERE
        source[0] += "".join(toctree(names, caption) for caption, names in navigation(source[0]).items())
    elif page.name == "index.md":
        front = turn_links((DOCS / "index.md").read_text(encoding="utf-8"), PurePosixPath("index.md"))
        known = {name for names in navigation(front).values() for name in names}
        names = sorted(p.stem for p in path.parent.iterdir() if p.suffix in (".md", ".ipynb") and p != path)
        source[0] += toctree([name for name in names if f"{page.parent}/{name}" not in known])


def setup(app: Sphinx) -> dict[str, Any]:
    """Copy before sources are looked for, and change pages as they are read."""
    app.connect("builder-inited", copy_pages)
    app.connect("source-read", read_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
