from .evaluate import (
    evaluate as evaluate,
)
from .evaluate import (
    songs_to_evaluate as songs_to_evaluate,
)
from .evaluate import (
    summarize as summarize,
)
from .recovery import Recovery as Recovery
from .recovery import compare as compare
from .statistics import read_runs as read_runs
from .statistics import write_statistics as write_statistics
