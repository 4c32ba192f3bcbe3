"""graphmix: music mixing as graphs, on PyTorch Geometric.

A mixing graph is a PyG ``Data`` object whose node types are differentiable audio processors. graphmix renders any
such graph, fits it to a song, prunes it to the processors that matter, stores, draws and describes it.

The public names are listed in ``__init__.pyi`` and loaded when they are first used, so that importing graphmix costs
nothing.
"""

import lazy_loader

__version__ = "0.1.0"
"""The only place of the version: the build and the files that graphmix writes take it from here."""

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
