"""Capturing devices: recordings in, a network with controls out, as a node type and as a file for plugins."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
