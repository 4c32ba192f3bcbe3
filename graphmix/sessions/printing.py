"""Printing: what a format lacks is rendered into the clips of tracks and returns.

A track is printed behind the last of its devices that the format lacks, with all that comes before it; the devices
behind that stay. A return (a bus that is nothing but a second way for all that feeds it, as that of a reverb) becomes
a track. Devices that a format lacks on other busses stay: to print them would be to print the mix.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from graphmix.audio.song import Song
from graphmix.errors import GraphError
from graphmix.graph.editing import remove_nodes, without_dead_ends
from graphmix.graph.mixgraph import MixGraph
from graphmix.render.signals import Signals
from graphmix.sessions.session import Channel, Device, Role, Session, describe_session


@dataclass(frozen=True, eq=False)
class Printed:
    """A graph without what was printed.

    Args:
        graph: what is left.
        audio: what plays in the inputs that were printed, by name, [2, samples].
        labels: of the devices that were printed, as messages call them.
    """

    graph: MixGraph
    audio: Mapping[str, Tensor]
    labels: tuple[str, ...]


def print_lacking(graph: MixGraph, song: Song, num_samples: int, lacking: Callable[[Session], list[Device]]) -> Printed:
    """Print what a format lacks.

    Args:
        graph: its inputs are named after the song's tracks, at the song's rate.
        song: the tracks.
        num_samples: length of what is printed.
        lacking: the devices of a session that the format lacks.
    """
    session = describe_session(graph, "print")
    nodes = {(device.node, device.outlet) for device in lacking(session)}
    signals = Signals(graph, song, num_samples)
    result = graph.clone()
    audio: dict[str, Tensor] = {}
    labels: list[str] = []
    gone: list[int] = []
    for index, channel in enumerate(session.channels):
        places = [p for p, device in enumerate(channel.devices) if (device.node, device.outlet) in nodes]
        if not places or not (channel.role is Role.track or _is_return(session, index)):
            continue
        printed = channel.devices[: places[-1] + 1]
        last = printed[-1]
        signal = signals.out_of(last.node, last.outlet)
        if channel.role is Role.track:
            assert channel.track is not None
            audio[channel.track] = signal
            gone += [device.node for device in printed]
        else:
            name = _new_name(channel, audio, graph)
            audio[name] = signal
            _feed(result, result.add("in", name), last)
        labels += [device.label for device in printed]
    result = remove_nodes(result, gone) if gone else without_dead_ends(result)
    return Printed(result, audio, tuple(labels))


def refuse(devices: Sequence[Device], what: str) -> None:
    """Refuse a session of devices that a format cannot hold.

    Args:
        devices: those.
        what: the format, as messages call it.

    Raises:
        GraphError: there are some.
    """
    if devices:
        labels = ", ".join(device.label for device in devices)
        raise GraphError(
            f"{what} cannot hold {labels}: it has no device with such equations. "
            "Print them into the clips of their tracks (--print; not on busses), or remove them."
        )


def _is_return(session: Session, index: int) -> bool:
    """Whether all that feeds a bus goes elsewhere as well."""
    into = session.into(index)
    is_bus = session.channels[index].role is Role.bus
    return is_bus and bool(into) and all(len(session.out_of(c.source)) > 1 for c in into)


def _new_name(channel: Channel, audio: Mapping[str, Tensor], graph: MixGraph) -> str:
    taken = {*audio, *graph.input_names}
    name = channel.name
    while name in taken:
        name += " printed"
    return name


def _feed(graph: MixGraph, node: int, instead_of: Device) -> None:
    """A node in the place of a device's outlet."""
    moved = (graph.edge_index[0] == instead_of.node) & (graph.edge_port[:, 0] == instead_of.outlet)
    graph.edge_index, graph.edge_port = graph.edge_index.clone(), graph.edge_port.clone()
    graph.edge_index[0, moved], graph.edge_port[moved, 0] = node, 0
