from .mix_file import find_mix as find_mix
from .run import Separated as Separated
from .run import separate as separate
