"""Ardour 7.3's two faults in exports, provoked, without and with what graphmix does against each.

    python benchmarks/ardour_faults.py --renders 5

Needs Ardour and g++ on x86-64 with AVX-512. Prints RMS of the difference to the float64 reference in dB re its RMS,
nan for an export that hangs.
"""

import argparse
import subprocess
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soundfile

from graphmix.audio import load_stems, write_audio
from graphmix.render.reference import render_reference
from graphmix.sessions import ardour_plan, export_session
from graphmix.sessions.headless import find_ardour, run_when_settled
from tests.sessions.headless_ardour import error_db
from tests.sessions.random_sessions import RandomGraph, stems

RATE, SEED, LIMIT = 44100, 1, 90.0


def main() -> None:
    """Provoke each fault with and without its cure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--renders", type=int, default=5)
    renders = parser.parse_args().renders
    with TemporaryDirectory() as name:
        folder = Path(name)
        source = Path(__file__).with_suffix(".cc")
        subprocess.run(["g++", "-O2", "-fPIC", "-shared", "-o", folder / "faults.so", source, "-ldl"], check=True)
        expected, late = ardour_session(folder / "late", ardour_plan.MASTER_LATENCY)
        _, plain = ardour_session(folder / "plain", 0)
        heaps = [{"BLOCK_AT": "16", "RING_AT": "48"}, {"BLOCK_AT": "48", "RING_AT": "16"}]
        for number in range(renders):
            for heap in heaps:
                for what, session in (("as it was", plain), ("late master", late)):
                    error = render(session, folder, expected, heap, held=True)
                    print(f"{number}, heap {heap}, {what}: {error:.1f} dB", flush=True)
            for what, held in (("as it was", False), ("held", True)):
                error = render(late, folder, expected, {"NO_FIRST_UPDATE": "1"}, held)
                print(f"{number}, latencies late, {what}: {error:.1f} dB", flush=True)


def ardour_session(folder: Path, master_latency: int) -> tuple[np.ndarray, Path]:
    """What a random graph should sound like, and its session."""
    graph, audio = RandomGraph(RATE, SEED, linear=False).graph, stems(3, RATE, SEED)
    (folder / "stems").mkdir(parents=True)
    for name, stem in zip(graph.input_names, audio, strict=True):
        write_audio(folder / "stems" / f"{name}.wav", stem, RATE)
    names = [f"{n}.wav" if t == 0 else n for n, t in zip(graph.names, graph.node_type.tolist(), strict=True)]
    graph.info = replace(graph.info, names=tuple(names))
    ardour_plan.MASTER_LATENCY = master_latency
    export_session(graph, load_stems(folder / "stems", RATE), folder / "session")
    longer = np.pad(audio.double().numpy(), ((0, 0), (0, 0), (0, RATE // 2)))
    return render_reference(graph, longer).sum(0)[:, : audio.shape[2]], folder / "session"


def render(session: Path, scratch: Path, expected: np.ndarray, settings: dict[str, str], held: bool) -> float:
    """The error of one export with the faults preloaded, in dB."""
    output = scratch / "mix.wav"
    settings = {"LD_PRELOAD": str(scratch / "faults.so"), **settings}
    command = ["env", *(f"{key}={value}" for key, value in settings.items()), str(find_ardour())]
    command += ["-b", "float", "-o", str(output), str(session), "session"]
    try:
        if held:
            run_when_settled(command, LIMIT)
        else:
            subprocess.run(command, capture_output=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        return float("nan")  # it hangs
    return error_db(soundfile.read(output, always_2d=True)[0].T, expected)


if __name__ == "__main__":
    main()
