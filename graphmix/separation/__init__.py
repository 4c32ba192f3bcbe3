"""Separating mixes: a file in, a song folder with stems out, and mining with such stems."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
