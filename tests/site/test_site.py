"""The built site: no warning, every link leads somewhere, every public name has a page, nothing comes from elsewhere.

Slow: the build takes minutes, most of which are the tutorials, executed from their first cell to their last on a small
budget. A cell that fails ends the build.
"""

import importlib
import os
import pkgutil
import subprocess
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import graphmix

ROOT = Path(__file__).resolve().parents[2]
TUTORIALS = sorted((ROOT / "tutorials").glob("*.ipynb"))
REAL_SONG = ROOT.parent / "shared" / "audio" / "francium_dry_only"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("sphinx", reason="the site needs the extra docs")
    folder = tmp_path_factory.mktemp("site")
    temporary = folder / "temporary"
    temporary.mkdir()
    variables = {"GRAPHMIX_TUTORIAL_STEPS": "2", "TMPDIR": str(temporary), "IPYTHONDIR": str(folder / "ipython")}
    if REAL_SONG.is_dir():  # else the tutorials mix what they make
        variables["GRAPHMIX_SONG"] = str(REAL_SONG)
    options = ["-W", "--keep-going", "-n", "-q", "-E", "-D", "nb_execution_mode=force", "-d", str(folder / "doctrees")]
    command = [sys.executable, "-m", "sphinx", *options, str(ROOT / "docs"), str(folder / "html")]
    built = subprocess.run(command, capture_output=True, text=True, env=os.environ | variables)
    assert built.returncode == 0, built.stderr[-5000:]
    return folder / "html"


class Page(HTMLParser):
    """Links and anchors of a page, and what it loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        for name in ("src", "srcset", "poster", *(["href"] if tag == "link" else [])):
            if name in values and values.get("rel") != "canonical":
                self.loaded.append(values[name])


@cache
def parsed(path: Path) -> Page:
    return Page(path)


def all_pages(site: Path) -> list[Path]:
    return sorted(site.rglob("*.html"))


def test_every_link_inside_leads_to_a_file_and_an_anchor(site: Path) -> None:
    wrong = []
    count = 0
    for path in all_pages(site):
        for link in parsed(path).links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            count += 1
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchors = parsed(target).anchors if target.suffix == ".html" and target.is_file() else set()
            if not target.is_file() or (parts.fragment and unquote(parts.fragment) not in anchors):
                wrong.append(f"{path.relative_to(site)} -> {link}")
    assert not wrong
    assert count > 10_000


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    for path in all_pages(site):
        for address in parsed(path).loaded:
            parts = urlsplit(address)
            assert not parts.netloc, f"{path.relative_to(site)} loads {address}"
            if parts.path and not parts.scheme:
                assert (path.parent / unquote(parts.path)).is_file(), f"{path.relative_to(site)} loads {address}"


def public_names() -> set[str]:
    packages = ["graphmix", *(m.name for m in pkgutil.walk_packages(graphmix.__path__, "graphmix.") if m.ispkg)]
    return {
        f"{package}.{name}"
        for package in packages
        for name in getattr(importlib.import_module(package), "__all__", ())
        if not name.startswith("__")
    }


def test_every_public_name_has_a_page(site: Path) -> None:
    from sphinx.util.inventory import InventoryFile

    content = (site / "objects.inv").read_bytes()
    inventory = InventoryFile.loads(content, uri="").data
    places = {name: item.uri for kind in inventory for name, item in inventory[kind].items() if kind.startswith("py:")}
    names = public_names()
    assert len(names) > 300
    assert not names - set(places)
    for name in names:
        file, _, anchor = places[name].partition("#")
        assert anchor in parsed(site / file).anchors, name
        assert file.startswith("api/graphmix"), f"{name} is on {file}, which is no page of its own"


def test_signatures_show_types_and_link_them(site: Path) -> None:
    page = (site / "api" / "graphmix.plot_graph.html").read_text(encoding="utf-8")
    signature = page[page.index('<dt class="sig') : page.index("</dt>")]
    assert "graphmix.MixGraph.html" in signature
    assert "Figure" in signature


def test_names_on_pages_lead_to_the_reference(site: Path) -> None:
    assert "api/graphmix.load_graph.html#graphmix.load_graph" in parsed(site / "quickstart.html").links
    assert "api/graphmix.MixGraph.html#graphmix.MixGraph" in parsed(site / "graph.html").links


def test_equations_are_drawn_without_a_script(site: Path) -> None:
    text = (site / "processors.html").read_text(encoding="utf-8")
    assert text.count("<math") > 10
    assert "\\frac" not in text


@pytest.mark.parametrize("tutorial", TUTORIALS, ids=lambda path: path.name)
def test_tutorials_are_shown_with_what_their_cells_drew(site: Path, tutorial: Path) -> None:
    loaded = parsed(site / "tutorials" / f"{tutorial.stem}.html").loaded
    drawn = [site / "tutorials" / address for address in loaded if address.endswith(".png")]
    assert drawn
    assert all(picture.stat().st_size > 1000 for picture in drawn)


def test_the_gallery_has_pictures_of_every_script(site: Path) -> None:
    scripts = sorted((ROOT / "docs" / "gallery").glob("*.py"))
    assert scripts
    for script in scripts:
        text = (site / "examples" / f"{script.stem}.html").read_text(encoding="utf-8")
        assert f"sphx_glr_{script.stem}_001.png" in text


def test_pages_have_search_and_a_switch_from_light_to_dark(site: Path) -> None:
    text = (site / "index.html").read_text(encoding="utf-8")
    assert 'name="q"' in text
    assert "theme-toggle" in text
    assert "load_graph" in (site / "searchindex.js").read_text(encoding="utf-8")
