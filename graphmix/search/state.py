"""Where a search stands: everything that is needed to go on as if nothing had happened."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from graphmix.errors import SearchError
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.storage import graph_from_tensors, graph_to_tensors, write_atomically
