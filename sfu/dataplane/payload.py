"""What a payload tells of itself: where key frames start, and its temporal layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, assert_never

from sfu.plane import Codec
from sfu.rtp.av1 import starts_av1_key_frame
from sfu.rtp.h264 import starts_h264_key_frame
from sfu.rtp.vp8 import parse_vp8
from sfu.rtp.vp9 import parse_vp9

if TYPE_CHECKING:
    from sfu.rtp.vp8 import Vp8Descriptor
    from sfu.streams.descriptor_reader import PacketDescriptor


@dataclass(frozen=True, slots=True)
class PayloadFacts:
    """What forwarding needs to know of one payload."""

    starts_key_frame: bool = False
    temporal: int | None = None
    """Temporal layer where frames above a layer may be left out."""
    layer_sync: bool = False
    vp8: Vp8Descriptor | None = None


_NOTHING: Final = PayloadFacts()
_KEY_FRAME: Final = PayloadFacts(starts_key_frame=True)


def inspect(codec: Codec, payload: bytes, descriptor: PacketDescriptor | None) -> PayloadFacts:
    """Read what a payload that is not empty tells.

    Where a dependency descriptor came along, it says where key frames start and what layer it is: the payload
    may be end-to-end encrypted.

    Raises:
        ParseError: the payload descriptor ends early.
    """
    starts = None if descriptor is None else descriptor.fields.starts_key_frame
    frame = None if descriptor is None else descriptor.fields.dependencies
    temporal = None if frame is None else frame.temporal_id
    match codec:
        case Codec.OPUS:
            return _NOTHING
        case Codec.VP8:
            vp8 = parse_vp8(payload)
            return PayloadFacts(
                vp8.starts_key_frame if starts is None else starts,
                vp8.temporal_id if temporal is None else temporal,
                vp8.layer_sync,
                vp8,
            )
        case Codec.VP9:
            vp9 = parse_vp9(payload)
            starts = vp9.starts_key_frame if starts is None else starts
        case Codec.H264:
            starts = starts_h264_key_frame(payload) if starts is None else starts
        case Codec.AV1:
            starts = starts_av1_key_frame(payload) if starts is None else starts
        case _:
            assert_never(codec)
    if temporal is None:
        return _KEY_FRAME if starts else _NOTHING
    return PayloadFacts(starts, temporal)
