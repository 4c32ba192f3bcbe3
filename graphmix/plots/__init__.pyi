from .graph import plot_graph as plot_graph
from .importance import plot_importance as plot_importance
from .palette import color_of as color_of
from .pruning import plot_pruning as plot_pruning
from .rides import plot_rides as plot_rides
from .saving import save as save
from .settings import plot_settings as plot_settings
from .spectrogram import plot_match as plot_match
