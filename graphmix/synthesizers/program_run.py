"""Programming a synthesizer from a sound file to a folder with the patch, what it sounds like, figures, pictures.

The folder holds ``patch.safetensors`` and ``patch.json`` (the graph), ``match.wav``, ``voice.syx`` of an FM patch,
``metrics.json`` (written last) and ``plots/``; ``run.json`` says from the beginning which run it is, and until it ends
``unfinished.json`` holds the patches so far, from which the same call resumes.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

import graphmix.models
from graphmix.audio.files import write_audio
from graphmix.errors import GraphmixError
from graphmix.graph.storage import load_graph, save_graph
from graphmix.io import finite, read_json, to_json, write_json
from graphmix.models.synthesizers import Programmer, load_programmer, note_features
from graphmix.processors.melody import MOST_NOTES
from graphmix.processors.rack import Rack
from graphmix.progress import Listener, Silent
from graphmix.render.renderer import Renderer
from graphmix.runs import RunFolder, RunStatus, first_difference
from graphmix.search.mine_song import digest_file
from graphmix.synthesizers.candidates import Values, compare
from graphmix.synthesizers.images import mel_images
from graphmix.synthesizers.instruments import FM, SYNTHESIZERS
from graphmix.synthesizers.notes import Note, check_notes, read_notes
from graphmix.synthesizers.patch_set import SECONDS
from graphmix.synthesizers.programming import Programmed, program, prune_patch
from graphmix.synthesizers.sounds import Sound, load_sound
from graphmix.synthesizers.synthesizer import MELODY, NOTE, SAMPLE_RATE, Synthesizer
from graphmix.synthesizers.sysex import NAME_BYTES, voice_of, write_bank
from graphmix.synthesizers.training import MODEL, check_sizes

RESULT, PATCH, UNFINISHED, AUTO = "metrics.json", "patch.safetensors", "unfinished.json", "auto"
SHIPPED = Path(graphmix.models.__file__).parent / "pretrained" / MODEL
"""The network that comes with graphmix; its training is described in docs/synthesizers.md."""
DRAWS = 16
"""Patches of each synthesizer that a network proposes for a sound."""


@dataclass(frozen=True)
class ProgramSettings:
    """Settings of a run.

    Args:
        synthesizer: a name, or ``"auto"``: the one that comes nearest.
        candidates: random patches that each synthesizer tries.
        steps: of the refinement.
        pitch: MIDI note number; estimated if not given.
        length_ms: as long as the key is down; estimated if not given.
        notes: several notes in place of one, see :func:`graphmix.synthesizers.notes.read_notes`, or ``"auto"``: they
            are found; empty: the sound is one note.
        seed: of the candidates.
        model: digest of a trained network that proposes more candidates, or empty.
        prune: take out the modules that the sound does not need.
    """

    synthesizer: str = AUTO
    candidates: int = 200
    steps: int = 200
    pitch: float | None = None
    length_ms: float | None = None
    notes: str = ""
    seed: int = 0
    model: str = ""
    prune: bool = False

    def check(self) -> None:
        """Refuse pitches and lengths that no note has.

        Raises:
            GraphmixError: one of them.
        """
        pitch = 60.0 if self.pitch is None else self.pitch
        check_notes([Note(pitch, 500.0 if self.length_ms is None else self.length_ms)])
        if self.notes and not (self.pitch is None and self.length_ms is None):
            raise GraphmixError("give the pitch and length of one note, or several notes, not both.")
        self.melody()

    def melody(self) -> tuple[Note, ...] | None:
        """The notes that were given; none of them: they are to be found; None: there is one."""
        if not self.notes:
            return None
        return () if self.notes == AUTO else read_notes(self.notes)

    def chosen(self) -> list[Synthesizer]:
        """The synthesizers that are tried.

        Raises:
            GraphmixError: there is none of that name.
        """
        if self.synthesizer == AUTO:
            return list(SYNTHESIZERS.values())
        if self.synthesizer not in SYNTHESIZERS:
            names = ", ".join((AUTO, *SYNTHESIZERS))
            raise GraphmixError(f"there is no synthesizer {self.synthesizer!r}; the synthesizers are: {names}.")
        return [SYNTHESIZERS[self.synthesizer]]


def program_sound(
    path: Path,
    out: Path,
    settings: ProgramSettings | None = None,
    *,
    model: Path | None = None,
    plots: bool = True,
    listener: Listener | None = None,
    on_notice: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Find a patch for a sound, write it, and return ``metrics.json``.

    Args:
        path: of the sound.
        out: folder; a finished one is read.
        settings: which synthesizers, how many candidates and steps.
        model: a network that ``graphmix train-programmer`` wrote, whose proposals are more candidates.
        plots: draw spectrograms and the patch.
        listener: shown the progress.
        on_notice: given sentences on the sound.

    Raises:
        GraphmixError: a sound that cannot be read or is silent, an unknown synthesizer, a folder of something else.
    """
    settings, listener = settings or ProgramSettings(), listener or Silent()
    synthesizers = settings.chosen()
    settings.check()
    for needed in (path, *(() if model is None else (find_programmer(model),))):
        if not needed.is_file():
            raise GraphmixError(f"{needed} is not a file: check the name.")
    if model is not None:
        settings = replace(settings, model=digest_file(find_programmer(model)))
    run = {"sound": digest_file(path), "settings": vars(settings)}
    folder = RunFolder(out, run, RESULT, _difference)
    if out.is_dir() and folder.status() is RunStatus.FINISHED:
        return _finished(out)
    sound = load_sound(path, SAMPLE_RATE, settings.pitch, settings.length_ms, settings.melody())
    proposals = None
    if model is not None:
        programmer = load_programmer(find_programmer(model))[0]
        check_sizes(programmer, [synthesizer.name for synthesizer in synthesizers], model)
        proposals = propose_patches(sound, programmer, seed=settings.seed)
    with folder.hold():
        if folder.status() is RunStatus.FINISHED:  # another process was faster
            return _finished(out)
        folder.begin()
        for notice in sound.notices:
            if on_notice is not None:
                on_notice(notice)
        results = _program(out / UNFINISHED, sound, synthesizers, settings, proposals, listener)
        if settings.prune:
            listener.phase("pruning", None)
            results = [pruned(sound, results[0]), *results[1:]]
        metrics = _write(out, path, sound, results, plots)
        (out / UNFINISHED).unlink(missing_ok=True)
        return metrics


def _finished(out: Path) -> dict[str, Any]:
    return dict(read_json(out / RESULT, error=GraphmixError, fix="delete it to begin again"))


def _program(
    unfinished: Path,
    sound: Sound,
    synthesizers: Sequence[Synthesizer],
    settings: ProgramSettings,
    proposals: Mapping[str, Sequence[Values]] | None,
    listener: Listener,
) -> list[Programmed]:
    """Resume from the patches so far, or begin."""
    fix = "delete it to begin again"
    resume = read_json(unfinished, error=GraphmixError, fix=fix) if unfinished.exists() else None
    try:
        return program(
            sound,
            synthesizers,
            candidates=settings.candidates,
            steps=settings.steps,
            seed=settings.seed,
            proposals=proposals,
            listener=listener,
            resume=resume,
            on_save=lambda states: write_json(unfinished, states),
        )
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        if resume is None:
            raise
        raise GraphmixError(f"{unfinished} is damaged ({str(error)[:100]}): {fix}.") from None


def _difference(found: Mapping[str, Any], ours: Mapping[str, Any]) -> str | None:
    if found["sound"] != ours["sound"]:
        return "the patch of another sound. Choose another --out."
    different = first_difference(found["settings"], json.loads(to_json(ours["settings"])))
    if different is None:
        return None
    name, theirs, our = different
    return f"a patch made with {name} = {theirs if theirs != '' else 'none'}, not {our if our != '' else 'none'}."


def _write(out: Path, path: Path, sound: Sound, results: Sequence[Programmed], plots: bool) -> dict[str, Any]:
    best = results[0]
    save_graph(best.graph, out / PATCH)
    save_graph(best.graph, out / "patch.json")
    write_audio(out / "match.wav", best.audio.expand(2, -1), sound.sample_rate)
    if best.synthesizer == FM.name:
        voice = "".join(c for c in path.stem.upper() if c.isascii() and c.isprintable())[:NAME_BYTES] or "GRAPHMIX"
        write_bank([voice_of(best.values, voice)], out / "voice.syx")
    metrics = {
        "synthesizer": best.synthesizer,
        "distance_db": best.distance,
        "proposed_db": best.proposed,
        "by_synthesizer": {result.synthesizer: result.distance for result in results},
        "pitch": sound.pitch,
        "length_ms": sound.length_ms,
        "notes": [vars(note) for note in sound.notes],
        "seconds": len(sound.audio) / sound.sample_rate,
        "source": str(path.absolute()),
        "notices": list(sound.notices),
        "modules": [name for name in best.graph.names if name not in (NOTE, "out")],
        "history": [list(entry) for entry in best.history],
        "values": best.values,
    }
    if plots:
        _draw(out / "plots", sound, results)
    write_json(out / RESULT, finite(metrics))
    return metrics


def _draw(folder: Path, sound: Sound, results: Sequence[Programmed]) -> None:
    from graphmix.plots import saving  # matplotlib is loaded only where something is drawn
    from graphmix.plots.graph import plot_graph
    from graphmix.plots.notes import plot_notes

    folder.mkdir(exist_ok=True)
    matches = {f"{result.synthesizer}: {result.distance:.2f} dB": result.audio.numpy() for result in results}
    saving.save(plot_notes(sound.audio.numpy(), matches, sound.sample_rate), folder / "match.png")
    modules = sum(name not in (NOTE, "out") for name in results[0].graph.names)
    title = f"{results[0].synthesizer}: {modules} modules, {results[0].distance:.2f} dB from the sound"
    saving.save(plot_graph(results[0].graph, title), folder / "patch.png")


def find_programmer(path: Path) -> Path:
    """The file of a trained network: itself, or in the folder of its training."""
    return path / MODEL if path.is_dir() else path


def propose_patches(sound: Sound, model: Programmer, count: int = DRAWS, seed: int = 0) -> dict[str, list[Values]]:
    """What a network proposes for a sound, of each synthesizer that it knows; see :meth:`Programmer.draw`.

    Args:
        sound: to imitate.
        model: the network.
        count: patches of each synthesizer, the first of them the network's best guess.
        seed: of the others.
    """
    samples = round(SECONDS * sound.sample_rate)
    audio = torch.nn.functional.pad(sound.first[:samples], (0, max(0, samples - len(sound.first))))
    images = mel_images(audio[None], model.config.mels, model.config.frames)
    notes = note_features(torch.tensor([sound.pitch]), torch.tensor([sound.length_ms]))
    proposals: dict[str, list[Values]] = {}
    for name in model.names:
        drawn = model.draw(images, notes, name, count, torch.Generator().manual_seed(seed))[0]
        proposals[name] = [SYNTHESIZERS[name].values_of(vector) for vector in drawn]
    return proposals


def pruned(sound: Sound, result: Programmed) -> Programmed:
    """The same with the smaller graph."""
    graph = prune_patch(sound, SYNTHESIZERS[result.synthesizer], result.graph)
    audio, distance = compare(sound, graph, Renderer(Rack.generators(sound.sample_rate)))
    return replace(result, graph=graph, audio=audio, distance=distance)


def load_patch(path: str | Path) -> tuple[Synthesizer, dict[str, Any], torch.Tensor]:
    """A patch from its file: the synthesizer, its values, and the pitch and length of its first note [2].

    Raises:
        GraphError: the file is no patch, or of another version.
    """
    graph = load_graph(path)
    name = str(graph.provenance.get("synthesizer"))
    if name not in SYNTHESIZERS:
        raise GraphmixError(f"{path} is no patch of a synthesizer of graphmix ({', '.join(SYNTHESIZERS)}).")
    several = len(graph.params.get(MELODY, ()))
    note = graph.params[MELODY][0, [0, 2 * MOST_NOTES]] if several else graph.params[NOTE][0, [0, 2]]
    return SYNTHESIZERS[name], SYNTHESIZERS[name].read(graph), note
