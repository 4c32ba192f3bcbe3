from .loader import SegmentLoader as SegmentLoader
from .loader import add_segment as add_segment
from .merge import AbsorbRedundant as AbsorbRedundant
from .merge import MergeGains as MergeGains
from .mined_graphs import MinedGraphs as MinedGraphs
from .mined_graphs import MinedGraphsOnDisk as MinedGraphsOnDisk
from .positions import AddDagPositions as AddDagPositions
from .positions import AddSpectralPositions as AddSpectralPositions
from .records import Record as Record
from .records import find_records as find_records
from .reference import AudioReference as AudioReference
from .transforms import (
    AddNodes as AddNodes,
)
from .transforms import (
    DropNodes as DropNodes,
)
from .transforms import (
    PermuteTracks as PermuteTracks,
)
