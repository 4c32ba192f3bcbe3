from .config import SeparatorTraining as SeparatorTraining
from .config import known_separator_configs as known_separator_configs
from .config import load_separator_config as load_separator_config
from .sources import SourceSong as SourceSong
from .sources import find_source_songs as find_source_songs
from .trainer import TrainedSeparator as TrainedSeparator
from .trainer import train_separator as train_separator
