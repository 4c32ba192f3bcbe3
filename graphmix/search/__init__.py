"""Searching graphs: losses, fitting, pruning, and mining a song from files to files."""

from graphmix.progress import Listener
from graphmix.search.fit import Fitted, Training, fit
from graphmix.search.initialization import Start, find_baselines, start_from_levels, start_graph
from graphmix.search.losses import LossTerms, MixLoss, gain_staging, mix_loss, sdr, si_sdr
from graphmix.search.metrics import SongSource, read_metrics
from graphmix.search.mine_song import mine
from graphmix.search.mined import Mined
from graphmix.search.objective import Objective, song_level
from graphmix.search.objectives import OBJECTIVES, AudioLoss, DynamicsLoss, LoudnessLoss, WeightedLoss
from graphmix.search.policies import POLICIES, BruteForce, Candidate, DryWet, FirstOrder, Hybrid, LeaveOneOut, Policy
from graphmix.search.pruning import Pruned, Search, prune
from graphmix.search.settings import DRAFT, PAPER, PRESETS, SearchSettings
from graphmix.search.trial_losses import Judge, Verdict

__all__ = [
    "DRAFT",
    "OBJECTIVES",
    "PAPER",
    "POLICIES",
    "PRESETS",
    "AudioLoss",
    "BruteForce",
    "Candidate",
    "DryWet",
    "DynamicsLoss",
    "FirstOrder",
    "Fitted",
    "Hybrid",
    "Judge",
    "LeaveOneOut",
    "Listener",
    "LossTerms",
    "LoudnessLoss",
    "Mined",
    "MixLoss",
    "Objective",
    "Policy",
    "Pruned",
    "Search",
    "SearchSettings",
    "SongSource",
    "Start",
    "Training",
    "Verdict",
    "WeightedLoss",
    "find_baselines",
    "fit",
    "gain_staging",
    "mine",
    "mix_loss",
    "prune",
    "read_metrics",
    "sdr",
    "si_sdr",
    "song_level",
    "start_from_levels",
    "start_graph",
]
