"""Models that propose a mix from dry tracks: ``estimator(stems) -> MixGraph``.

All share one interface (:class:`graphmix.models.mixing.estimator.Estimator`) and are entered in :data:`MODELS` by name.
"""

from graphmix.models.config import EncoderConfig, ModelConfig, NeuralConfig, model_config
from graphmix.models.effects.proxy import TCNProxy, load_proxy, save_proxy
from graphmix.models.effects.strip import ChannelStrip
from graphmix.models.encoders import Encoder, ResidualEncoder, StatisticsEncoder, VGGish
from graphmix.models.features import LogMel
from graphmix.models.heads import JointHead, NodeOutputs, PerTypeHeads
from graphmix.models.mixing.autoregressive import AutoregressiveConfig, AutoregressiveEstimator
from graphmix.models.mixing.baselines import (
    LoudnessSum,
    LoudnessSumConfig,
    MeanParameters,
    MeanParametersConfig,
    RandomConfig,
    RandomMix,
    SumBaseline,
    SumConfig,
)
from graphmix.models.mixing.basis import RawBasis
from graphmix.models.mixing.dmc import DMC, DMCConfig
from graphmix.models.mixing.estimator import MODELS, Estimator, build_estimator, register
from graphmix.models.mixing.graph_estimator import GraphEstimator, GraphEstimatorConfig
from graphmix.models.mixing.nearest_song import NearestSong, NearestSongConfig
from graphmix.models.mixing.neural import NeuralEstimator
from graphmix.models.mixing.outputs import Outputs
from graphmix.models.mixing.static_mix import StaticMix, StaticMixConfig
from graphmix.models.mixing.stems import Stems
from graphmix.models.mixing.subgroups import BusLinks, buses_from, link_loss
from graphmix.models.mixing.waveunet import MixWaveUNet

__all__ = [
    "DMC",
    "MODELS",
    "AutoregressiveConfig",
    "AutoregressiveEstimator",
    "BusLinks",
    "ChannelStrip",
    "DMCConfig",
    "Encoder",
    "EncoderConfig",
    "Estimator",
    "GraphEstimator",
    "GraphEstimatorConfig",
    "JointHead",
    "LogMel",
    "LoudnessSum",
    "LoudnessSumConfig",
    "MeanParameters",
    "MeanParametersConfig",
    "MixWaveUNet",
    "ModelConfig",
    "NearestSong",
    "NearestSongConfig",
    "NeuralConfig",
    "NeuralEstimator",
    "NodeOutputs",
    "Outputs",
    "PerTypeHeads",
    "RandomConfig",
    "RandomMix",
    "RawBasis",
    "ResidualEncoder",
    "StaticMix",
    "StaticMixConfig",
    "StatisticsEncoder",
    "Stems",
    "SumBaseline",
    "SumConfig",
    "TCNProxy",
    "VGGish",
    "build_estimator",
    "buses_from",
    "link_loss",
    "load_proxy",
    "model_config",
    "register",
    "save_proxy",
]
