"""Plots of graphs, spectrograms, histories and statistics.

Each function returns a ``matplotlib`` figure; :func:`save` writes it. Nothing here touches pyplot
or its global state, so plots may be made on servers and in threads. The public names are listed in ``__init__.pyi`` and
loaded when they are first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
