"""Models that propose a mix from dry tracks: ``estimator(stems) -> MixGraph``.

All share one interface (:class:`graphmix.models.estimator.Estimator`) and are entered in :data:`MODELS` by name.
"""

from graphmix.models.baselines import (
    LoudnessSum,
    LoudnessSumConfig,
    MeanParameters,
    MeanParametersConfig,
    SumBaseline,
    SumConfig,
)
from graphmix.models.basis import RawBasis
from graphmix.models.config import EncoderConfig, ModelConfig, NeuralConfig, model_config
from graphmix.models.dmc import DMC, DMCConfig
from graphmix.models.encoders import Encoder, ResidualEncoder, StatisticsEncoder, VGGish
from graphmix.models.estimator import MODELS, Estimator, NeuralEstimator, Outputs, build_estimator, register
from graphmix.models.features import LogMel
from graphmix.models.graph_estimator import GraphEstimator, GraphEstimatorConfig
from graphmix.models.heads import JointHead, NodeOutputs, PerTypeHeads
from graphmix.models.nearest_song import NearestSong, NearestSongConfig
from graphmix.models.proxy import TCNProxy, load_proxy, save_proxy
from graphmix.models.stems import Stems
from graphmix.models.strip import ChannelStrip
from graphmix.models.subgroups import BusLinks, buses_from, link_loss
from graphmix.models.waveunet import MixWaveUNet
from graphmix.models.writer import GraphWriter

__all__ = [
    "DMC",
    "MODELS",
    "BusLinks",
    "ChannelStrip",
    "DMCConfig",
    "Encoder",
    "EncoderConfig",
    "Estimator",
    "GraphEstimator",
    "GraphEstimatorConfig",
    "GraphWriter",
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
    "RawBasis",
    "ResidualEncoder",
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
