from .checkpoint import (
    known_models as known_models,
)
from .checkpoint import (
    load_estimator as load_estimator,
)
from .checkpoint import (
    save_estimator as save_estimator,
)
from .config import (
    TrainConfig as TrainConfig,
)
from .config import (
    known_configs as known_configs,
)
from .config import (
    load_config as load_config,
)
from .data import (
    Example as Example,
)
from .data import (
    SongSegments as SongSegments,
)
from .data import (
    split_songs as split_songs,
)
from .estimator_start import EstimatorStart as EstimatorStart
from .matching import (
    carry_over as carry_over,
)
from .matching import (
    console_target as console_target,
)
from .matching import (
    match_nodes as match_nodes,
)
from .prediction import Predicted as Predicted
from .prediction import predict as predict
from .proposal import Proposal as Proposal
from .proposal import propose as propose
from .trainer import Trained as Trained
from .trainer import train as train
