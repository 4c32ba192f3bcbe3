"""What is in a page, read without a browser."""

import json
import re
from pathlib import Path
from typing import Any


def page_data(path: Path) -> dict[str, Any]:
    """What the scripts of a page read."""
    found = re.search(
        r'<script type="application/json" id="data">(.*?)</script>', path.read_text(encoding="utf-8"), re.S
    )
    assert found is not None, f"{path} has no data"
    return json.loads(found[1])


def sounds_of(path: Path) -> set[str]:
    """Keys of the sounds in a page."""
    return set(re.findall(r'id="sound-([^"]+)">[A-Za-z0-9+/]{200}', path.read_text(encoding="utf-8")))


def check_page(path: Path, *versions: str) -> dict[str, Any]:
    """The data of a page that has these versions and a sound for each name in it."""
    data = page_data(path)
    assert [version["name"] for version in data["versions"]] == list(versions)
    assert sounds_of(path) == {version["key"] for version in data["versions"]} | set(data["pieces"])
    return data
