"""Networks on disk: ``.safetensors`` with a header of JSON. Nothing is unpickled."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from safetensors.torch import save
from torch import Tensor, nn

from graphmix.errors import GraphmixError
from graphmix.io import check_tensor_file, open_tensors, to_json, write_atomically


class ModelFile(NamedTuple):
    """A kind of file.

    Args:
        what: it holds, with its article: ``"an effect"``.
        key: of the header.
        version: that is written and read.
        most_bytes, most_header_bytes: of a file, and of its header.
    """

    what: str
    key: str
    version: int
    most_bytes: int
    most_header_bytes: int

    @property
    def noun(self) -> str:
        """Without its article."""
        return self.what.split(" ", 1)[1]

    def write(self, path: Path, header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Path:
        """Write a file, atomically.

        Raises:
            GraphmixError: another ending, more than a file holds, or the file cannot be written.
        """
        if path.suffix.lower() != ".safetensors":
            raise GraphmixError(f"{path}: {self.what}'s file ends in .safetensors, not in {path.suffix!r}.")
        content = save(dict(tensors), {self.key: to_json({"version": self.version, **header})})
        if len(content) > self.most_bytes:
            raise GraphmixError(
                f"{path}: the {self.noun} takes {len(content)} bytes; a file of one has up to {self.most_bytes}."
            )
        write_atomically(path, content)
        return path

    def read(self, path: Path) -> tuple[str, dict[str, Tensor]]:
        """The header's text and the tensors.

        Raises:
            GraphmixError: the file is missing, too large or damaged, or holds something else.
        """
        check_tensor_file(path, self.most_bytes, self.most_header_bytes, GraphmixError)
        with open_tensors(path) as file:
            header = (file.metadata() or {}).get(self.key)
            if header is None:
                raise GraphmixError(f"this is no {self.noun} of graphmix; the file holds other tensors.")
            return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, no mapping

    def parse(self, header: str, tables: Sequence[str]) -> dict[str, Any]:
        """The values of a header, of which some are tables.

        Raises:
            GraphmixError: it is damaged, or of another version.
        """
        try:
            plain = dict(json.loads(header))
            version, found = plain["version"], {name: dict(plain[name]) for name in tables}
        except (ValueError, KeyError, TypeError, RecursionError):
            raise GraphmixError("its header is damaged.") from None
        if version != self.version:
            raise GraphmixError(
                f"its version is {str(version)[:60]}, this graphmix reads {self.version}; update graphmix."
            )
        return {**plain, **found}


def digest_of(model: nn.Module, config: Mapping[str, Any]) -> str:
    """Sixteen digits that tell a network from others: of its configuration and its weights."""
    digest = hashlib.sha256(json.dumps(dict(config), sort_keys=True).encode())
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
