from __future__ import annotations

import pytest

from sfu.rtp.av1 import starts_av1_key_frame


@pytest.mark.parametrize(
    ("payload", "starts"),
    [
        (b"", False),
        (b"\x08", True),
        (b"\x18\x0a\x0b", True),
        (b"\x58\x0a", True),
        (b"\x10\x32", False),
        (b"\x90", False),  # goes on with a fragment
        (b"\x57", False),  # reserved bits
    ],
)
def test_a_coded_video_sequence_starts_where_the_aggregation_header_says_so(
    payload: bytes, starts: bool
) -> None:
    assert starts_av1_key_frame(payload) is starts
