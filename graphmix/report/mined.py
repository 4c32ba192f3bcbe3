"""The page of a mined song: what was matched, with what, and how the search came there."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from graphmix.audio.files import read_audio
from graphmix.audio.song import Song
from graphmix.errors import GraphmixError, SongError
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.storage import load_graph
from graphmix.processors.base import Processor
from graphmix.processors.rack import Rack
from graphmix.progress import Listener
from graphmix.report.course import TRACE, Course, NoCourse, read_course, read_trace
from graphmix.report.drawing import draw
from graphmix.report.error_map import level_maps
from graphmix.report.losses import Losses, measure_losses
from graphmix.report.nodes import Parts, describe_nodes, node_names, piece_count
from graphmix.report.page import Content, GraphPart, Limits, Version, clock
from graphmix.report.signals import render_stretch
from graphmix.report.songs import find_song
from graphmix.report.sound import prepare
from graphmix.report.stretches import Stretch, choose_stretch
from graphmix.report.windows import Survey, survey
from graphmix.search.metrics import read_metrics
from graphmix.search.mined import CONSOLE
from graphmix.search.reductions import read_reductions

VERSIONS = 4


def describe_mined(
    folder: Path,
    limits: Limits,
    listener: Listener,
    *,
    song: Path | None = None,
    effects: Sequence[Processor] = (),
) -> Content:
    """What the page of a mined song shows.

    Args:
        folder: of the run, finished.
        limits: of the page.
        listener: shown the progress.
        song: folder of the song, if its files are not where they were.
        effects: captured effects and plugins of the graph.

    Raises:
        GraphmixError: no finished run.
    """
    metrics = read_metrics(folder)
    graph = load_graph(folder / "graph.safetensors")
    return _Mined(folder, metrics, graph, limits, listener, song, effects).content()


class _Mined:
    """Collects the parts of one page."""

    def __init__(
        self,
        folder: Path,
        metrics: dict[str, Any],
        graph: MixGraph,
        limits: Limits,
        listener: Listener,
        given: Path | None,
        effects: Sequence[Processor],
    ) -> None:
        self.folder, self.metrics, self.graph = folder, metrics, graph
        self.limits, self.listener, self.effects = limits, listener, effects
        self.notices = [str(notice) for notice in metrics.get("notices", [])]
        self.rate = graph.sample_rate
        self.mix = read_audio(folder / "mix.wav", sample_rate=self.rate)
        self.seconds = self.mix.size(1) / self.rate
        self.song, self.rack = self._song(given), self._rack()
        self.console = self._console()
        self.survey: Survey | None = None

    def _song(self, given: Path | None) -> Song | None:
        try:
            song = find_song(self.folder, self.metrics, self.rate, given, self.graph.input_names)
            missing = set(self.graph.input_names) - set(song.track_names)
            if missing:
                raise SongError(f"the song lacks the track {sorted(missing)[0]!r} of the graph.")
            return song
        except SongError as error:
            self.notices.append(f"Without the song's files, and so only with the mined mix: {error}")
            return None

    def _rack(self) -> Rack | None:
        try:
            effects = [effect.at_rate(self.rate) for effect in self.effects]
            return Rack.for_types(self.graph.types.types, self.rate, effects)
        except GraphmixError as error:
            self.notices.append(f"Without the sounds of nodes: {error}")
            return None

    def _console(self) -> MixGraph | None:
        path = self.folder / CONSOLE
        if not path.is_file():
            self.notices.append("Without the full console: this run is of a version that did not keep it.")
            return None
        return load_graph(path)

    def content(self) -> Content:
        """All of the page."""
        self.listener.phase("report: reading the song", None)
        if self.song is not None:
            self.survey = survey(self.song)
        count = piece_count(self.graph) if self.song is not None and self.rack is not None else 0
        stretch = self._stretch(count)
        self.listener.phase("report: rendering", None)
        audio = self._audio(stretch)
        versions = [Version(name, prepare(a, rate, stretch.start), note) for name, a, rate, note in audio]
        parts = self._parts(count)
        course = self._course()
        console = self.console if course is not None else None
        return Content(
            title=str(self.metrics.get("song", self.folder.name)),
            kind="mined",
            lead=self._lead(),
            facts=self._facts(),
            versions=versions,
            song_seconds=self.seconds,
            pieces=parts.pieces,
            tracks=parts.tracks,
            graph=GraphPart(draw(self.graph), parts.nodes, self._caption()),
            course=course,
            console=None if console is None else draw(console),
            console_names=[] if console is None else node_names(console),
            maps=level_maps([v.sound for v in versions]) if len(versions) > 1 else None,
            losses=self._losses(audio, stretch),
            notices=self.notices,
        )

    def _stretch(self, pieces: int) -> Stretch:
        return choose_stretch(self.mix, self.rate, self.limits.stretch(VERSIONS, pieces, self.seconds))

    def _audio(self, stretch: Stretch) -> list[tuple[str, Tensor, int, str]]:
        """Name, audio, rate and note of each version."""
        rate = self.rate
        found = [("mined mix", stretch.cut(self.mix, rate), rate, "the graph below")]
        if self.song is None or self.survey is None:
            return found
        begin, count = stretch.samples(rate)
        if self.song.mix is not None:
            target = self.song.read_mix(begin, count)
            found.insert(0, ("target", target, rate, "the song's own mix"))
        found.append(("plain sum", stretch.cut(self.survey.total, rate), rate, "the dry tracks, added up"))
        console = self._console_audio(stretch)
        if console is not None:
            found.append(console)
        return found

    def _console_audio(self, stretch: Stretch) -> tuple[str, Tensor, int, str] | None:
        if self.console is None or self.song is None:
            return None
        rate = self.console.sample_rate
        try:
            effects = [effect.at_rate(rate) for effect in self.effects]
            rack = Rack.for_types(self.console.types.types, rate, effects)
            begin, count = stretch.samples(rate)
            audio = render_stretch(self.console, self.song.at_rate(rate), rack, begin, count)
        except GraphmixError as error:
            self.notices.append(f"Without the full console: {error}")
            return None
        note = f"before pruning, at the search's {rate / 1000:g} kHz"
        return "full console", audio[:, :count], rate, note

    def _parts(self, count: int) -> Parts:
        energies = None if self.survey is None else self.survey.energies
        seconds, _ = self.limits.pieces(max(1, count))
        reductions = read_reductions(self.metrics, self.graph)
        return describe_nodes(
            self.graph, self.song, self.rack, energies, min(seconds, self.seconds), self.seconds, reductions
        )

    def _course(self) -> Course | None:
        try:
            trace = read_trace(self.folder / TRACE)
            baselines = {str(k): float(v) for k, v in self.metrics.get("baselines", {}).items()}
            before = int(self.metrics.get("processors_before", 0))
            return read_course(trace, self.console, baselines, processors=before, sends=self._had_sends())
        except NoCourse as error:
            self.notices.append(f"Without the course of the search: {error}")
            return None

    def _had_sends(self) -> bool:
        from graphmix.io import read_json
        from graphmix.runs import RUN

        run = read_json(self.folder / RUN) if (self.folder / RUN).is_file() else {}
        return isinstance(run, dict) and bool(run.get("sends"))

    def _losses(self, audio: Sequence[tuple[str, Tensor, int, str]], stretch: Stretch) -> Losses | None:
        if not audio or audio[0][0] != "target":
            return None
        rate = int(self.metrics.get("settings", {}).get("sample_rate", self.rate))
        versions = [(name, sound, own) for name, sound, own, _ in audio[1:]]
        return measure_losses(audio[0][1], versions, self.rate, rate, stretch.start)

    def _lead(self) -> str:
        m = self.metrics
        return (
            f"Of {m['processors_before']} processors of a full console {m['processors_left']} are left, and the mix "
            f"comes as near to the song's own as a loss of {m['audio_loss']:.3f}; the plain sum of the tracks has "
            f"{m['baselines'].get('plain sum', float('nan')):.3f}."
        )

    def _facts(self) -> list[tuple[str, str]]:
        m = self.metrics
        si_sdr = m.get("si_sdr_db")
        return [
            ("length", clock(self.seconds)),
            ("tracks", str(m["tracks"])),
            ("subgroups", str(m["subgroups"])),
            ("audio loss", f"{m['audio_loss']:.4f}"),
            ("full console", f"{m['console_loss']:.4f}"),
            ("processors", f"{m['processors_left']} of {m['processors_before']}"),
            ("SI-SDR", "–" if si_sdr is None else f"{si_sdr:.1f} dB"),
            ("sample rate", f"{self.rate / 1000:g} kHz"),
        ]

    def _caption(self) -> str:
        return f"{self.graph.num_nodes} nodes, {self.graph.num_edges} connections, {self.rate / 1000:g} kHz"
