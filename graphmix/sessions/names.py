"""Names that files and ports may have."""

import re
from collections.abc import Iterable


def safe_names(names: Iterable[str]) -> list[str]:
    """Names of routes and files: without slashes, colons and control characters, and no two alike in any case."""
    result: list[str] = []
    taken: set[str] = set()
    for name in names:
        plain = re.sub(r'[\x00-\x1f/\\:*?"<>|]', "_", name).strip(" .") or "_"
        unique, number = plain, 1
        while unique.casefold() in taken:
            number += 1
            unique = f"{plain} {number}"
        taken.add(unique.casefold())
        result.append(unique)
    return result
