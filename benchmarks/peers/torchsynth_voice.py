"""The Voice of torchsynth 1.0.2, timed on request; runs in an environment of its own (see benchmarks/voice.py).

    python benchmarks/peers/torchsynth_voice.py NOTES SECONDS THREADS

Answers each line "forward" or "backward" on its input with the seconds that one batch took. Its forward method has no
gradients (it says that they have not been tested), so that its output method is called.
"""

import sys
from time import perf_counter

import torch
from torchsynth.config import SynthConfig
from torchsynth.synth import Voice

notes, seconds, threads = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(threads)
config = SynthConfig(batch_size=notes, buffer_size_seconds=seconds, reproducible=False)  # it refuses no_grad=False
voice = Voice(config)
with torch.no_grad():
    voice.randomize(seed=0)
print("torchsynth on torch", torch.__version__, flush=True)
for line in sys.stdin:
    begun = perf_counter()
    if line.strip() == "forward":
        with torch.no_grad():
            voice.output()
    else:
        voice.zero_grad()
        voice.output().square().mean().backward()
    print(perf_counter() - begun, flush=True)
