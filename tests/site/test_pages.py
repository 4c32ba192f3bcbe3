"""Navigation and links of the site, without a build."""

import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
CARDS = "datasets"


@pytest.fixture(scope="module")
def pages() -> Iterator[ModuleType]:
    pytest.importorskip("sphinx", reason="the site needs the extra docs")
    sys.path.insert(0, str(ROOT / "docs" / "extensions"))
    try:
        import pages

        yield pages
    finally:
        sys.path.remove(str(ROOT / "docs" / "extensions"))


def test_the_front_page_lists_every_page_of_the_folder(pages: ModuleType) -> None:
    text = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    listed = pages.navigation(pages.turn_links(text, PurePosixPath("index.md")))
    assert "More" not in listed, f"give {listed.get('More')} a row in a table of docs/index.md"
    names = [name for names in listed.values() for name in names]
    assert len(names) == len(set(names)), "a page has one place in the navigation"
    tutorials = {f"tutorials/{path.stem}" for path in (ROOT / "tutorials").glob("*.ipynb")}
    assert tutorials <= set(names)


def test_a_page_that_no_table_lists_comes_last(pages: ModuleType) -> None:
    listed = pages.navigation("## Songs\n\n| page | answers |\n|---|---|\n| [Quickstart](quickstart.md) | How? |\n")
    assert listed["Songs"] == ["quickstart"]
    assert list(listed) == ["Songs", "More"]
    assert "graph" in listed["More"]
    assert "quickstart" not in listed["More"]
    assert "index" not in listed["More"]


@pytest.mark.parametrize(
    ("page", "written", "turned"),
    [
        ("index.md", "../tutorials/01_mine_a_song.ipynb", "tutorials/01_mine_a_song.ipynb"),
        ("index.md", "../datasets/README.md", f"{CARDS}/index.md"),
        ("index.md", "graph.md#files", "graph.md#files"),
        (f"{CARDS}/index.md", "../docs/collections.md", "../collections.md"),
        (f"{CARDS}/index.md", "medleydb.md", "medleydb.md"),
        ("project/contributing.md", "docs/estimators.md", "../estimators.md"),
        ("project/contributing.md", "CHANGELOG.md", "changelog.md"),
        ("graph.md", "https://pyg.org", "https://pyg.org"),
        ("graph.md", "#files", "#files"),
        ("graph.md", "search.md#silence", "project/the_search.md#silence"),
        ("project/the_search.md", "pictures/step.png", "../pictures/step.png"),
    ],
)
def test_links_lead_to_where_a_page_lies_on_the_site(pages: ModuleType, page: str, written: str, turned: str) -> None:
    assert pages.turn_links(f"a [link]({written}).", PurePosixPath(page)) == f"a [link]({turned})."


def test_a_link_to_what_is_no_page_is_refused(pages: ModuleType) -> None:
    with pytest.raises(Exception, match=r"docs/graph\.md links to \.\./graphmix/io\.py, which is no page"):
        pages.turn_links("[code](../graphmix/io.py)", PurePosixPath("graph.md"))
