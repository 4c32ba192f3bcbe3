"""JSFX effects run by a real EEL2 compiler: Debian's pd-jsusfx, an object of Pure Data, which needs no display.

It reads the text that REAPER reads, with REAPER's own language (WDL's EEL2, of 2018). What it has not: files, states,
graphics, and latencies, which are looked up among the effect's variables.
"""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

PD = shutil.which("pd") or shutil.which("puredata")
EXTERNAL = Path("/usr/lib/pd/extra/jsusfx~")
needs_eel2 = pytest.mark.skipif(
    PD is None or not EXTERNAL.is_dir(), reason="needs Debian's puredata-core and pd-jsusfx, which compile EEL2"
)


def with_sliders(text: str, values: list[float]) -> str:
    """An effect's text with other defaults of its sliders."""
    for number, value in enumerate(values, 1):
        text, count = re.subn(rf"^(slider{number}:)[^<]*<", rf"\g<1>{value:.9g}<", text, flags=re.M)
        assert count == 1, f"there is no slider {number}"
    return text


def run(folder: Path, text: str, audio: np.ndarray, rate: int) -> tuple[np.ndarray, int]:
    """What leaves an effect, [pins, samples] in float32, and the latency that it states.

    Args:
        folder: for its files.
        text: the effect.
        audio: [pins, samples].
        rate: in Hz.
    """
    assert PD is not None
    (folder / "effect.jsfx").write_text(text, "utf-8")
    soundfile.write(folder / "in.wav", audio.T, rate, "FLOAT")
    pins, outputs = len(audio), len(re.findall("^out_pin", text, re.M))
    assert pins == len(re.findall("^in_pin", text, re.M))
    (folder / "patch.pd").write_text(_patch(pins, outputs, audio.shape[1], rate), "utf-8")
    command = [PD, "-nogui", "-batch", "-noprefs", "-noaudio", "-r", str(rate), "-path", str(EXTERNAL), "patch.pd"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    output = folder / "out.wav"
    assert output.is_file(), done.stderr[-2000:]
    assert not re.search(r"error|can't|couldn't|@\w+ line", done.stderr), done.stderr[:2000]
    latency = re.search(r"^pdc_delay --> ([\d.]+)$", done.stderr, re.M)
    result = soundfile.read(output, always_2d=True)[0].T
    output.unlink()
    return result, round(float(latency[1])) if latency else 0


def _patch(pins: int, outputs: int, samples: int, rate: int) -> str:
    """A patch that plays in.wav through effect.jsfx into out.wav."""
    ins, outs = ([f"{name}{k}" for k in range(count)] for name, count in (("in", pins), ("out", outputs)))
    objects = [
        "obj 0 0 loadbang",
        "obj 0 0 t b b b b",  # from right to left: read, switch on, play, wait
        f"msg 0 0 read in.wav {' '.join(ins)}",
        "obj 0 0 soundfiler",
        r"msg 0 0 \; pd dsp 1",
        f"obj 0 0 delay {1000 * (samples + 4096) / rate}",
        "obj 0 0 t b b",
        f"msg 0 0 write -wave -bytes 4 out.wav {' '.join(outs)}",
        r"msg 0 0 \; pd quit",
        "msg 0 0 dumpvars",
        f"obj 0 0 jsusfx~ effect.jsfx {pins} {outputs}",
        *(f"obj 0 0 tabplay~ {name}" for name in ins),
        *(f"obj 0 0 tabwrite~ {name}" for name in outs),
        *(f"obj 0 0 table {name} {samples}" for name in (*ins, *outs)),
    ]
    effect = 10
    connections = [
        (0, 0, 1, 0), (1, 3, 2, 0), (2, 0, 3, 0), (1, 2, 4, 0), (1, 0, 5, 0), (5, 0, 6, 0), (6, 1, 9, 0),
        (9, 0, effect, 0), (6, 1, 7, 0), (7, 0, 3, 0), (6, 0, 8, 0),
    ]  # fmt: skip
    for k in range(pins):
        connections += [(1, 1, effect + 1 + k, 0), (effect + 1 + k, 0, effect, k)]
    for k in range(outputs):
        connections += [(1, 1, effect + 1 + pins + k, 0), (effect, k, effect + 1 + pins + k, 0)]
    lines = ["#N canvas 0 0 450 300 10", *(f"#X {x}" for x in objects)]
    return "".join(f"{line};\n" for line in [*lines, *(f"#X connect {' '.join(map(str, c))}" for c in connections)])
