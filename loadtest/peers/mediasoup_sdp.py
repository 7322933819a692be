"""Session descriptions of mediasoup's end, which knows none: its JSON in, SDP out, and the other way.

Pure. What browsers' applications leave to `mediasoup-client` is done here for the swarm.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from loadtest.client import sdp

Json = dict[str, Any]

_EXTENSIONS: Final = frozenset({sdp.MID, sdp.ABS_SEND_TIME, sdp.TRANSPORT_CC})
"""What mediasoup makes use of."""
_CONGESTION_CONTROL: Final = frozenset({sdp.ABS_SEND_TIME, sdp.TRANSPORT_CC, "transport-cc", "goog-remb"})
"""Extensions and feedback that are left out where it shall estimate nothing."""


def produced(offer: sdp.Description, *, is_lean: bool) -> Json:
    """What mediasoup wants to know of the one video that is published.

    Args:
        offer: of the publisher.
        is_lean: without congestion control.

    Raises:
        SdpError: the offer has no VP8 with RTX and SSRCs.
    """
    video = _video(offer, is_lean=is_lean)
    ssrc, rtx_ssrc = video.rtx_ssrcs[0]
    return {
        "payloadType": video.formats[0].payload_type,
        "rtxPayloadType": video.formats[1].payload_type,
        "feedback": [kind.partition(" ")[::2] for kind in video.formats[0].feedback],
        "ssrc": ssrc,
        "rtxSsrc": rtx_ssrc,
        "mid": video.mid,
        "extensions": video.extensions,
    }


def answer(offer: sdp.Description, opened: Json, *, is_lean: bool) -> str:
    """The answer that takes the published video and refuses all else.

    Args:
        offer: of the publisher.
        opened: mediasoup's transport.
        is_lean: without congestion control.

    Raises:
        SdpError: the offer has no VP8 with RTX and SSRCs.
    """
    video = _video(offer, is_lean=is_lean)
    taken = replace(video, direction="recvonly", msid=None, ssrcs=(), rtx_ssrcs=())
    sections = (
        taken
        if section.mid == video.mid
        else sdp.Section(section.mid, section.kind, direction="inactive", is_rejected=True)
        for section in offer.sections
    )
    return _written(_transport(opened, "passive"), *sections)


def offer(opened: Json, consumed: Json) -> str:
    """The offer of a video to a receiver.

    Args:
        opened: mediasoup's transport.
        consumed: parameters of what it will send there.
    """
    encoding = consumed["encodings"][0]
    ssrc, rtx_ssrc = int(encoding["ssrc"]), int(encoding["rtx"]["ssrc"])
    video = sdp.Section(
        mid=str(consumed["mid"]),
        kind=sdp.VIDEO,
        direction="sendonly",
        formats=tuple(_format(codec) for codec in consumed["codecs"]),
        extensions=tuple(
            (int(extension["id"]), str(extension["uri"]))
            for extension in consumed["headerExtensions"]
            if extension["uri"] in _EXTENSIONS
        ),
        msid=("bench", "video"),
        ssrcs=(ssrc,),
        rtx_ssrcs=((ssrc, rtx_ssrc),),
        cname=str(consumed["rtcp"]["cname"]),
    )
    return _written(_transport(opened, "actpass"), video)


def connected(theirs: sdp.Description) -> Json:
    """What mediasoup wants to know of the other end, from its offer or its answer."""
    algorithm, fingerprint = theirs.transport.fingerprints[0]
    # Whoever offers both roles gets `passive` from us for an answer.
    role = "server" if theirs.transport.setup == "passive" else "client"
    return {"role": role, "algorithm": algorithm, "fingerprint": fingerprint}


def _video(offer: sdp.Description, *, is_lean: bool) -> sdp.Section:
    """The first video section with VP8 and its RTX alone."""
    left_out = _CONGESTION_CONTROL if is_lean else frozenset()
    for section in offer.sections:
        vp8 = next((form for form in section.formats if form.codec.upper() == "VP8"), None)
        rtx = next((form for form in section.formats if vp8 and form.repairs == vp8.payload_type), None)
        if vp8 is not None and rtx is not None and section.rtx_ssrcs:
            vp8 = replace(vp8, feedback=tuple(kind for kind in vp8.feedback if kind not in left_out))
            extensions = tuple(
                (number, uri) for number, uri in section.extensions if uri in _EXTENSIONS - left_out
            )
            return replace(section, formats=(vp8, rtx), extensions=extensions)
    raise sdp.SdpError("no VP8 is offered with RTX and SSRCs")


def _format(codec: Json) -> sdp.Format:
    feedback = (f"{one['type']} {one.get('parameter', '')}".strip() for one in codec["rtcpFeedback"])
    return sdp.Format(
        payload_type=int(codec["payloadType"]),
        codec=str(codec["mimeType"]).partition("/")[2],
        clock_rate=int(codec["clockRate"]),
        parameters=";".join(f"{name}={value}" for name, value in codec["parameters"].items()),
        feedback=tuple(feedback),
    )


def _transport(opened: Json, setup: str) -> sdp.Transport:
    fingerprints = {one["algorithm"]: one["value"] for one in opened["dtls"]["fingerprints"]}
    return sdp.Transport(
        ufrag=str(opened["ice"]["usernameFragment"]),
        password=str(opened["ice"]["password"]),
        fingerprints=(("sha-256", str(fingerprints["sha-256"])),),
        setup=setup,
        candidates=tuple(
            f"candidate:{one['foundation']} 1 udp {one['priority']} {one['ip']} {one['port']} typ host"
            for one in opened["candidates"]
        ),
        is_lite=True,
    )


def _written(transport: sdp.Transport, *sections: sdp.Section) -> str:
    return sdp.serialise(sdp.Description(transport, sections), session_id=1, version=1)
