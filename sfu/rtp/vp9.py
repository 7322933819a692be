"""The VP9 payload descriptor (RFC 9628 section 4.2), as far as forwarding whole frames needs it."""

from __future__ import annotations

from dataclasses import dataclass

from sfu.errors import ParseError


@dataclass(frozen=True, slots=True)
class Vp9Descriptor:
    """What stands before the VP9 bitstream. None: the field is not there."""

    starts_frame: bool
    ends_frame: bool
    is_inter_predicted: bool
    picture_id: int | None = None
    temporal_id: int | None = None
    spatial_id: int | None = None
    switching_point: bool = False
    inter_layer_predicted: bool = False

    @property
    def starts_key_frame(self) -> bool:
        """First packet of a key picture's lowest spatial layer."""
        return self.starts_frame and not self.is_inter_predicted and not self.spatial_id


def parse_vp9(payload: bytes) -> Vp9Descriptor:
    """Read the descriptor of a payload.

    Raises:
        ParseError: `vp9`: it ends inside the descriptor.
    """
    try:
        return _parse(payload)
    except IndexError as error:
        raise ParseError("vp9", f"{len(payload)} bytes") from error


def _parse(payload: bytes) -> Vp9Descriptor:
    first, position = payload[0], 1
    picture_id = temporal_id = spatial_id = None
    switching = inter_layer = False
    if first & 0x80:
        picture_id = payload[position]
        position += 1
        if picture_id & 0x80:
            picture_id = (picture_id & 0x7F) << 8 | payload[position]
            position += 1
    if first & 0x20:
        layers = payload[position]
        temporal_id, switching = layers >> 5, bool(layers & 0x10)
        spatial_id, inter_layer = layers >> 1 & 7, bool(layers & 1)
    return Vp9Descriptor(
        starts_frame=bool(first & 0x08),
        ends_frame=bool(first & 0x04),
        is_inter_predicted=bool(first & 0x40),
        picture_id=picture_id,
        temporal_id=temporal_id,
        spatial_id=spatial_id,
        switching_point=switching,
        inter_layer_predicted=inter_layer,
    )
