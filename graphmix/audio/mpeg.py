"""MPEG audio streams (MP3): their length by counting frames.

An MP3 file is a row of frames, each with a header of four bytes that gives its own size. Most encoders put a frame
without sound first (Xing, Info or VBRI) that says how many follow; where it is missing, libsndfile estimates the
length from the size of the file and that of the first frame, and never decodes beyond. So frames are counted here, and
a file that does not say its length, or a wrong one, is decoded from memory with an Info frame put before it.

An encoder delays its sound by some 576 samples and a decoder by 529. The decoder takes away its own delay where there
is an Info frame, and the encoder's too where a LAME tag in that frame says it. Where no tag does, the sound comes late
by the delay of an encoder that is not known: 576 samples if it was LAME.

Source: ISO/IEC 11172-3 and 13818-3, section 2.4.1; the tags are conventions of their encoders.
"""

import re
from dataclasses import dataclass

TYPICAL_DELAY = 576
"""Samples by which LAME, the most common encoder, delays its sound."""
DECODER_DELAY = 529
"""Samples by which every decoder of layer III does; it takes them away where there is an Info frame."""
_PADDING_FRAMES = 8

_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
"""Version bits -> Hz: MPEG 1, 2 and 2.5."""
_KBITS = {
    (True, 3): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 1): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 3): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 1): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""(Is it MPEG 1, layer bits: 3 is layer I, 1 is layer III) -> kbit/s of the indices 1 to 14."""
_LAYER_3 = 1
_INFO_BYTES = 16  # "Info", flags, number of frames, number of bytes
_SYNC = re.compile(rb"\xff[\xe2-\xff]")


@dataclass(frozen=True)
class Frame:
    """What the header of one frame says: its size in bytes, its samples, and the bits that a stream keeps."""

    size: int
    samples: int
    rate: int
    layer: int
    mpeg1: bool
    mono: bool
    header: bytes

    @property
    def side_bytes(self) -> int:
        """Size of the side information of layer III, behind which an Info frame has its tag."""
        return (17 if self.mono else 32) if self.mpeg1 else (9 if self.mono else 17)


@dataclass(frozen=True)
class MpegStream:
    """A counted stream.

    Args:
        first: first frame with sound.
        start: of it in the file, in bytes.
        stop: end of the last complete frame, in bytes.
        frames: how many there are with sound.
        promised: how many a Xing, Info or VBRI frame says there are; None if none does.
        has_delay: whether a LAME tag says by how much the sound is late, so that the decoder takes it away.
        missing: bytes of the last frame that lie beyond the end of the file.
    """

    first: Frame
    start: int
    stop: int
    frames: int
    promised: int | None
    has_delay: bool
    missing: int

    @property
    def samples(self) -> int:
        """What comes out of :func:`decodable`: all but the delay of the decoder."""
        return self.frames * self.first.samples - (DECODER_DELAY if self.first.layer == _LAYER_3 else 0)

    @property
    def says_its_length(self) -> bool:
        """Whether libsndfile finds the right length by itself."""
        return self.promised == self.frames


def parse_frame(content: bytes, at: int) -> Frame | None:
    """The frame whose header stands at a place, or None if there is no header of a frame of known size."""
    header = content[at : at + 4]
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    index, rate_index, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if version == 1 or layer == 0 or index in (0, 15) or rate_index == 3:
        return None
    mpeg1 = version == 3
    rate, bits = _RATES[version][rate_index], 1000 * _KBITS[mpeg1, layer][index - 1]
    if layer == 3:
        size, samples = (12 * bits // rate + padding) * 4, 384
    else:
        samples = 576 if layer == _LAYER_3 and not mpeg1 else 1152
        size = samples // 8 * bits // rate + padding
    return Frame(size, samples, rate, layer, mpeg1, header[3] >> 6 == 3, header)


def count_frames(content: bytes) -> MpegStream | None:
    """Walk the frames of a file; None if it has none (or is of free format, whose frames do not say their size)."""
    begin = _end_of_id3(content)
    at = None if content[begin : begin + 4] == b"fLaC" else _next_frame(content, begin)
    first = None if at is None else parse_frame(content, at)
    if at is None or first is None:
        return None
    promised, has_delay, is_info = _read_tag(content, at, first)
    if is_info:
        at += first.size
    start, stop, frames, missing = at, at, 0, 0
    while at is not None and at < len(content):
        frame = parse_frame(content, at)
        if frame is None or not _are_alike(frame, first):
            at = _next_frame(content, at + 1, first)
            continue
        if at + frame.size > len(content):
            missing = at + frame.size - len(content)
            break
        frames, at = frames + 1, at + frame.size
        stop = at
    return MpegStream(first, start, stop, frames, promised, has_delay, missing)


def decodable(content: bytes, stream: MpegStream) -> bytes:
    """The stream without its tags as libsndfile decodes it to the end: :attr:`MpegStream.samples`.

    Layer III gets an Info frame that says its number of frames and of bytes, and of no delay. Layers I and II know no
    such frame; their frames have equal sizes, and empty bytes at the end make the estimated length a little too long.
    """
    sound = content[stream.start : stream.stop]
    if stream.first.layer != _LAYER_3:
        return sound + bytes(_PADDING_FRAMES * stream.first.size)
    frame = _roomy_frame(stream.first)
    counts = (3).to_bytes(4, "big") + stream.frames.to_bytes(4, "big") + (frame.size + len(sound)).to_bytes(4, "big")
    info = frame.header + bytes(frame.side_bytes) + b"Info" + counts
    return info.ljust(frame.size, b"\0") + sound


def _roomy_frame(like: Frame) -> Frame:
    """The smallest frame of a stream, without a checksum, into which the numbers of an Info frame fit."""
    for index in range(1, 15):
        header = bytes([0xFF, like.header[1] | 1, index << 4 | like.header[2] & 0b1100, like.header[3]])
        frame = parse_frame(header, 0)
        if frame is not None and frame.size >= 4 + frame.side_bytes + _INFO_BYTES:
            return frame
    raise AssertionError("a frame of the highest rate has room for an Info tag")


def is_mpeg(head: bytes) -> bool:
    """Whether a file that begins so may be an MPEG stream: a tag, or a frame."""
    return head[:3] == b"ID3" or parse_frame(head, 0) is not None


def _end_of_id3(content: bytes) -> int:
    """Where the ID3v2 tags at the start of a file end."""
    end = 0
    while content[end : end + 3] == b"ID3" and len(content) >= end + 10:
        size = sum(
            (byte & 0x7F) << shift for byte, shift in zip(content[end + 6 : end + 10], (21, 14, 7, 0), strict=True)
        )
        end += 10 + size + (10 if content[end + 5] & 0x10 else 0)
    return end


def _next_frame(content: bytes, at: int, like: Frame | None = None) -> int | None:
    """The next place with a frame that another frame, or the end of the file, follows."""
    while (found := _SYNC.search(content, at)) is not None:
        at = found.start()
        frame = parse_frame(content, at)
        if frame is not None and (like is None or _are_alike(frame, like)):
            after = at + frame.size
            following = parse_frame(content, after)
            if after == len(content) or (following is not None and _are_alike(following, frame)):
                return at
        at += 1
    return None


def _are_alike(one: Frame, other: Frame) -> bool:
    """Frames of one stream share version, layer, rate and number of channels; sizes may differ."""
    return (one.rate, one.layer, one.mpeg1, one.mono) == (other.rate, other.layer, other.mpeg1, other.mono)


def _read_tag(content: bytes, at: int, first: Frame) -> tuple[int | None, bool, bool]:
    """What a first frame says if it is one without sound -> frames promised, is the delay said, is it such a frame."""
    if first.layer != _LAYER_3:
        return None, False, False
    vbri = content[at + 36 : at + 54]
    if vbri[:4] == b"VBRI":
        return None, False, True  # libsndfile knows nothing of these
    tag = content[at + 4 + first.side_bytes : at + first.size]
    if tag[:4] not in (b"Xing", b"Info"):
        return None, False, False
    flags, place, promised = int.from_bytes(tag[4:8], "big"), 8, None
    if flags & 1:
        promised, place = int.from_bytes(tag[8:12], "big"), 12
    place += 4 * bool(flags & 2) + 100 * bool(flags & 4) + 4 * bool(flags & 8)
    delays = tag[place + 21 : place + 24]  # behind nine letters of the encoder's name and twelve bytes of its settings
    return promised, len(delays) == 3 and any(delays), True
