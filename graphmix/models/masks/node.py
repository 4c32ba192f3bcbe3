"""A separator as a node type: one inlet, an outlet for each source and one for the rest.

"Make the vocals louder in this master" is then a graph: in, separator, a gain behind each outlet, mix. The outlets add
up to what comes in, to rounding, at any rate and whatever the network does. The weights are fixed; gradients flow to
the audio.
"""

from os import PathLike

from safetensors import SafetensorError
from torch import Tensor

from graphmix.errors import GraphmixError
from graphmix.io import open_tensors
from graphmix.models import model_files
from graphmix.models.effects.captured import named_node
from graphmix.models.masks.block_separation import BlockSeparator, stems_of, with_rest
from graphmix.models.masks.files import HEADER, find_separator, load_separator
from graphmix.models.masks.separator import MaskEstimator
from graphmix.processors.base import Processor, State
from graphmix.spec import NodeType


class Separator(Processor):
    """A network that separates, as a processor.

    It works in blocks of :data:`~graphmix.models.masks.block_separation.HOP_SECONDS` and an overlap, on a grid that
    begins with the signal. A model of another rate is given the signal resampled; what lies above its band goes to the
    rest. A model of one channel is applied to left and right, each for itself.

    Args:
        model: the network; it is frozen.
        name: of the node type, e.g. ``"separator"``.
        letter: of the node type.
        sample_rate: of the graph, in Hz.
        source: file and digest, for graphs that use it; see :func:`separator_node`.

    Shape:
        audio [nodes, 2, samples], params [nodes, 0] -> [nodes, sources and the rest, 2, samples].
    """

    def __init__(
        self, model: MaskEstimator, name: str, letter: str, sample_rate: int = 30000, source: str = ""
    ) -> None:
        super().__init__(sample_rate)
        self.model = model.eval().requires_grad_(False)
        self.blocks = BlockSeparator(model, sample_rate)
        outlets = stems_of(model.sources)
        self.node_type = NodeType(name, letter, (), outlets=outlets, source=source or f"{name} {digest_of(model)}")

    def at_rate(self, sample_rate: int) -> "Separator":
        """The same network, which keeps its own rate."""
        own = self.node_type
        return Separator(self.model, own.name, own.letter, sample_rate, own.source)

    def forward(self, audio: Tensor, params: Tensor) -> Tensor:
        """Separate a batch of nodes."""
        return self.resume(audio, params, None, 0)[0]

    @property
    def resumable(self) -> bool:
        """True: what a block leaves for the next one is carried."""
        return True

    @property
    def period(self) -> int:
        """The hop of the grid."""
        return self.blocks.hop

    def memory(self, params: Tensor) -> tuple[int, int]:
        """A block before and a block behind."""
        return self.blocks.block, self.blocks.block

    def resume(self, audio: Tensor, params: Tensor, state: State | None, mark: int) -> tuple[Tensor, State]:
        """One part of a longer signal, and what its last blocks leave for the next part."""
        sources, tail = self.blocks(audio, None if state is None else state[0], mark)
        return with_rest(audio, sources, self.model.sources), (tail,)


def digest_of(model: MaskEstimator) -> str:
    """Sixteen digits that tell a separator from others: of its configuration and its weights."""
    return model_files.digest_of(model, model.config.model_dump(mode="json"))


def is_separator(path: str | PathLike[str]) -> bool:
    """Whether a path or name leads to the file of a separator, which may be damaged."""
    try:
        file = find_separator(path)
        if file.suffix.lower() != ".safetensors":
            return False
        with open_tensors(file) as tensors:
            return HEADER in (tensors.metadata() or {})
    except (OSError, SafetensorError, GraphmixError):
        return False


def separator_node(
    path: str | PathLike[str], letter: str, sample_rate: int = 30000, name: str | None = None
) -> Separator:
    """A separator from its file, as a processor.

    Args:
        path: as :func:`graphmix.models.masks.load_separator` takes it.
        letter: of the node type; none that graphmix uses itself.
        sample_rate: of the graph, in Hz.
        name: of the node type; by default the file's name, or its folder's where that is ``model``.

    Raises:
        GraphmixError: a file that cannot be read, a letter or name that cannot be used, a rate that has too little in
            common with the model's.

    Example:
        >>> import tempfile, os
        >>> from graphmix.models.masks import build_separator, save_separator
        >>> from graphmix.processors import Rack
        >>> small = {"model": "mask_inference", "recurrent": {"hidden": 4}}
        >>> path = os.path.join(tempfile.mkdtemp(), "four.safetensors")
        >>> _ = save_separator(path, build_separator(small))
        >>> Rack.console("g").with_separator("v", path)["four"].node_type.outlets
        ('drums', 'bass', 'vocals', 'other', 'rest')
    """
    file = find_separator(path)
    model, _ = load_separator(file)
    source = f"{file.name} {digest_of(model)}"
    return named_node(
        file, letter, name, ("model", "separator"), lambda name: Separator(model, name, letter, sample_rate, source)
    )
