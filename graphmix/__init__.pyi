from .audio.song import (
    Song as Song,
)
from .audio.song import (
    load_song as load_song,
)
from .audio.song import (
    load_stems as load_stems,
)
from .datasets.mined_graphs import MinedGraphs as MinedGraphs
from .errors import (
    FileError as FileError,
)
from .errors import (
    GraphError as GraphError,
)
from .errors import (
    GraphmixError as GraphmixError,
)
from .errors import (
    RunError as RunError,
)
from .errors import (
    SearchError as SearchError,
)
from .errors import (
    SongError as SongError,
)
from .graph.consoles import mixing_console as mixing_console
from .graph.editing import (
    bypass_nodes as bypass_nodes,
)
from .graph.editing import (
    keep_nodes as keep_nodes,
)
from .graph.editing import (
    remove_nodes as remove_nodes,
)
from .graph.mixgraph import MixGraph as MixGraph
from .graph.networkx import from_networkx as from_networkx
from .graph.networkx import to_networkx as to_networkx
from .graph.storage import load_graph as load_graph
from .graph.storage import save_graph as save_graph
from .graph.validation import validate as validate
from .plots import plot_graph as plot_graph
from .processes import keep_memory as keep_memory
from .processors.rack import Rack as Rack
from .render.blocks import render_song as render_song
from .render.renderer import Renderer as Renderer
from .render.schedule import schedule as schedule
from .search.fit import fit as fit
from .search.initialization import start_from_levels as start_from_levels
from .search.losses import mix_loss as mix_loss
from .search.mine_song import mine as mine
from .search.pruning import prune as prune
from .search.settings import PRESETS as PRESETS
from .search.settings import SearchSettings as SearchSettings
from .training.checkpoint import load_estimator as load_estimator
from .training.proposal import propose as propose
from .training.trainer import train as train

__version__: str
