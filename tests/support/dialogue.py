"""A browser and a focus that negotiate, step by step: live (`LivePeer`) or as recorded (`RecordedPeer`).

The steps are what the recorded client of this dialect does (protocol: sections 7.1 to 7.6), and what the
focus may do to it. `tests/vectors/sdp/capture.py` writes down what browsers said to them.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, TypeVar, assert_never

from sfu.config import ConferenceConfig
from sfu.negotiation.negotiation import AnswerMade, Negotiation, OfferMade, new_credentials
from sfu.negotiation.parameters import Candidate, Fingerprint, SendTrack
from sfu.negotiation.writer import LocalDescription
from sfu.units import Instant, Kind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence
    from pathlib import Path

    from sfu.negotiation.negotiation import NegotiationOutput

T = TypeVar("T")

NOW: Final = Instant(1_000_000_000)
VIDEO_KEYS: Final = ("VP8", "H264/constrained-baseline/1")


def track(key: int, kind: Kind, codec_keys: tuple[str, ...] = VIDEO_KEYS) -> SendTrack:
    """A track of another participant; those of one ten are in one stream."""
    person = key // 10
    keys = ("opus",) if kind is Kind.AUDIO else codec_keys
    return SendTrack(key, kind, f"stream-{person}", f"{kind}-{key}", keys, f"focus-{person}")


MICROPHONE: Final = track(10, Kind.AUDIO)
CAMERA: Final = track(11, Kind.VIDEO)
SCREEN: Final = track(20, Kind.VIDEO)
OTHER_CAMERA: Final = track(31, Kind.VIDEO)
OTHER_MICROPHONE: Final = track(30, Kind.AUDIO)
LATE_CAMERA: Final = track(41, Kind.VIDEO)
A_HUNDRED: Final = tuple(
    track(10 * person + number, kind)
    for person in range(10, 60)
    for number, kind in enumerate((Kind.AUDIO, Kind.VIDEO))
)


@dataclass(frozen=True, slots=True)
class ClientOffers:
    """The client does something that is negotiated."""

    what: str
    action: str


@dataclass(frozen=True, slots=True)
class FocusSends:
    """These tracks shall go to the client."""

    what: str
    tracks: tuple[SendTrack, ...]


@dataclass(frozen=True, slots=True)
class Glare:
    """Both at once: the client, which is impolite, never looks at the offer of the focus."""

    what: str
    action: str
    tracks: tuple[SendTrack, ...]


Step = ClientOffers | FocusSends | Glare

CALL: Final[tuple[Step, ...]] = (
    ClientOffers("join", "join('audio', 'video')"),
    FocusSends("two-tracks", (MICROPHONE, CAMERA)),
    ClientOffers("stream-flips", "flipStream()"),
    ClientOffers("stream-flips-back", "flipStreamBack()"),
    FocusSends("track-ends", (MICROPHONE,)),
    FocusSends("section-recycled", (MICROPHONE, OTHER_CAMERA)),
    ClientOffers("camera-off", "takeCamera()"),
    FocusSends("while-camera-is-off", (MICROPHONE, OTHER_CAMERA, SCREEN)),
    ClientOffers("camera-on", "giveCamera()"),
    Glare("share-meets-offer", "share()", (MICROPHONE, OTHER_CAMERA, SCREEN, OTHER_MICROPHONE)),
    ClientOffers("share-stopped", "unshare()"),
    ClientOffers("share-again", "share()"),
    FocusSends("ridden-track-ends", (MICROPHONE, OTHER_CAMERA, OTHER_MICROPHONE)),
    ClientOffers("camera-stopped", "stopCamera()"),
    FocusSends("rejected-section-recycled", (MICROPHONE, OTHER_CAMERA, OTHER_MICROPHONE, LATE_CAMERA)),
    ClientOffers("another-camera", "openCamera()"),
    ClientOffers("another-camera-stopped", "stopCamera()"),
    ClientOffers("client-recycles", "openCamera()"),
    ClientOffers("ice-restart", "restartIce()"),
    FocusSends("after-ice-restart", (MICROPHONE, OTHER_MICROPHONE, LATE_CAMERA)),
)
"""In `share-meets-offer` the share rides on the section of the other's camera, in `share-again` on that of
the screen: browsers take a section that never sent."""

CAMERA_OFF_CALL: Final[tuple[Step, ...]] = (
    ClientOffers("join", "join('audio')"),
    FocusSends("two-tracks", (MICROPHONE, CAMERA)),
    ClientOffers("camera-rides", "rideCamera()"),
    FocusSends("another-track", (MICROPHONE, CAMERA, OTHER_CAMERA)),
    FocusSends("ridden-track-ends", (MICROPHONE, OTHER_CAMERA)),
)

WATCHER_CALL: Final[tuple[Step, ...]] = (
    ClientOffers("join", "join()"),
    FocusSends("two-tracks", (MICROPHONE, CAMERA)),
)

DIALOGUES: Final = {"call": CALL, "camera-off-call": CAMERA_OFF_CALL, "watcher-call": WATCHER_CALL}


class Peer(Protocol):
    """The client's side."""

    async def act(self, action: str) -> str:
        """Do something, and offer what has come of it."""
        ...

    async def take_answer(self, sdp: str) -> None:
        """Apply an answer."""
        ...

    async def take_offer(self, sdp: str) -> str:
        """Apply an offer, and answer it."""
        ...


@dataclass(frozen=True, slots=True)
class Said:
    """One description of a dialogue."""

    number: int
    what: str
    by: str
    type: str
    sdp: str = field(repr=False)

    @property
    def file_name(self) -> str:
        """Sorted by it, a dialogue stands in its order."""
        return f"{self.number:02}-{self.what}-{self.by}-{self.type}.sdp"


class Dialogue:
    """Both sides, and all that they said."""

    def __init__(self, peer: Peer, focus: Negotiation) -> None:
        self.peer = peer
        self.focus = focus
        self.said: list[Said] = []
        self._what = ""

    async def hold(self, steps: Iterable[Step]) -> AsyncIterator[tuple[Step, list[NegotiationOutput]]]:
        """Go through the steps; after each, with what the focus made of it."""
        for step in steps:
            self._what = step.what
            match step:
                case ClientOffers(action=action):
                    outputs = self._answered(await self._offer_of_client(action))
                case FocusSends(tracks=tracks):
                    outputs = self.focus.set_send_tracks(NOW, tracks)
                case Glare(action=action, tracks=tracks):
                    ignored = self.focus.set_send_tracks(NOW, tracks)
                    assert of_type(ignored, OfferMade)
                    outputs = self._answered(await self._offer_of_client(action))
                case _:
                    assert_never(step)
            yield step, await self._follow(outputs)

    async def _follow(self, outputs: list[NegotiationOutput]) -> list[NegotiationOutput]:
        for answer in of_type(outputs, AnswerMade):
            self._note("focus", "answer", answer.sdp)
            await self.peer.take_answer(answer.sdp)
        for offer in of_type(outputs, OfferMade):
            self._note("focus", "offer", offer.sdp)
            told = await self.peer.take_offer(offer.sdp)
            self._note("browser", "answer", told)
            outputs = [*outputs, *await self._follow(self.focus.answer_received(NOW, told))]
        return outputs

    async def _offer_of_client(self, action: str) -> str:
        offer = await self.peer.act(action)
        self._note("browser", "offer", offer)
        return offer

    def _answered(self, offer: str) -> list[NegotiationOutput]:
        return self.focus.offer_received(NOW, offer)

    def _note(self, by: str, kind: str, sdp: str) -> None:
        self.said.append(Said(len(self.said), self._what, by, kind, sdp))


class RecordedPeer:
    """What a browser said, in the folder of a dialogue; what is said to it is not judged."""

    def __init__(self, folder: Path) -> None:
        self._texts = iter([path.read_bytes().decode() for path in sorted(folder.glob("*-browser-*"))])

    async def act(self, action: str) -> str:  # it was done then
        """The next description."""
        return next(self._texts)

    async def take_answer(self, sdp: str) -> None:
        """Nothing comes of it."""

    async def take_offer(self, sdp: str) -> str:  # it answered another one
        """The next description."""
        return next(self._texts)


LOCAL_CANDIDATES: Final = (Candidate("127.0.0.1", 9, 2_130_706_431),)
"""Nobody listens there: negotiations need no connection."""


def new_focus(
    codecs: tuple[str, ...] = ConferenceConfig().codecs,
    seed: int = 7,
    candidates: tuple[Candidate, ...] = LOCAL_CANDIDATES,
) -> Negotiation:
    """A focus's side of one leg."""
    rng = random.Random(seed)  # a test must repeat itself
    local = LocalDescription(
        new_credentials(rng),
        Fingerprint("sha-256", ":".join(["AB"] * 32)),
        candidates,
    )
    return Negotiation(local, ConferenceConfig(codecs=codecs), rng)


def of_type(outputs: Sequence[object], kind: type[T]) -> list[T]:
    """The outputs of one type, in order."""
    return [one for one in outputs if isinstance(one, kind)]
