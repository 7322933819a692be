"""Two foci that negotiate with one another: what one says arrives in order, if and when a test lets it."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, assert_never

from sfu.config import ConferenceConfig
from sfu.errors import RemoteError
from sfu.negotiation.negotiation import (
    AnswerMade,
    IceRestarted,
    Negotiation,
    NegotiationFailed,
    NegotiationOutput,
    OfferMade,
    ParametersChanged,
    SendTrackRefused,
    new_credentials,
)
from sfu.negotiation.parameters import Candidate, Fingerprint, SendTrack
from sfu.negotiation.role import Role
from sfu.negotiation.writer import LocalDescription
from sfu.plane import EncodingSpec
from sfu.units import NO_RID, Kind, Rid, Ssrc, after_s
from tests.support.dialogue import NOW
from tests.unit.negotiation.texts import remote

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sfu.negotiation.parameters import SendSection

CONFIG: Final = ConferenceConfig(offer_tries=10)
RIDS: Final = (Rid("q"), Rid("h"), Rid("f"))
VP8: Final = ("VP8",)
H264: Final = ("H264/constrained-baseline/1",)
OPUS: Final = ("opus",)


def sound(key: int) -> SendTrack:
    """A microphone."""
    return SendTrack(key, Kind.AUDIO, f"stream-{key}", f"track-{key}", OPUS, f"cname-{key}")


def picture(key: int, rids: tuple[Rid, ...] = RIDS, codec_keys: tuple[str, ...] = VP8 + H264) -> SendTrack:
    """A camera, by default in three encodings."""
    return SendTrack(key, Kind.VIDEO, f"stream-{key}", f"track-{key}", codec_keys, f"cname-{key}", rids)


@dataclass(frozen=True, slots=True)
class Message:
    """An offer or an answer on its way."""

    is_offer: bool
    sdp: str = field(repr=False)


class End:
    """One focus: its negotiation, what waits for it, and all that came of it."""

    def __init__(self, role: Role, codecs: tuple[str, ...], seed: int) -> None:
        rng = random.Random(seed)  # a test must repeat itself
        local = LocalDescription(
            new_credentials(rng),
            Fingerprint("sha-256", ":".join([f"{seed:02X}"] * 32)),
            (Candidate(f"192.0.2.{seed}", 10_000 + seed, 2_130_706_431),),
        )
        config = ConferenceConfig(codecs=codecs, offer_tries=CONFIG.offer_tries)
        self.role = role
        self.credentials = local.credentials
        self.fingerprint = local.fingerprint
        self.codecs = codecs
        self.negotiation = Negotiation(local, config, rng, role)
        self.inbox: deque[Message] = deque()
        self.wanted: tuple[SendTrack, ...] = ()
        self.refused: dict[int, str] = {}
        self.errors: list[str] = []
        self.said: list[str] = []
        self.keys = 0
        """Of tracks, given last."""
        self.has_failed = False

    @property
    def sends(self) -> dict[int, SendSection]:
        """Its agreed sections by key."""
        return {one.key: one for one in self.negotiation.parameters.send}

    def take(self, outputs: Iterable[NegotiationOutput], other: End) -> None:
        """Do what a negotiation asks for."""
        for one in outputs:
            match one:
                case AnswerMade(sdp) | OfferMade(sdp):
                    self.said.append(sdp)
                    other.inbox.append(Message(isinstance(one, OfferMade), sdp))
                case ParametersChanged(parameters):
                    assert parameters == self.negotiation.parameters
                case IceRestarted(credentials):
                    self.credentials = credentials
                case NegotiationFailed():
                    self.has_failed = True
                case SendTrackRefused(key, reason):
                    self.refused[key] = reason
                case _:
                    assert_never(one)


class Trunk:
    """Both of them, and what is between."""

    def __init__(
        self,
        caller: tuple[str, ...] = CONFIG.codecs,
        callee: tuple[str, ...] = CONFIG.codecs,
        *,
        is_called: bool = True,
    ) -> None:
        self.now = NOW
        self.caller = End(Role.CALLER, caller, 1)
        self.callee = End(Role.CALLEE, callee, 2)
        if is_called:
            self.caller.take(self.caller.negotiation.first_offer(), self.callee)
            self.settle()

    @property
    def ends(self) -> tuple[End, End]:
        """The caller first."""
        return self.caller, self.callee

    def other(self, end: End) -> End:
        """At the other end."""
        return self.callee if end is self.caller else self.caller

    def send(self, end: End, *tracks: SendTrack) -> None:
        """Say which tracks shall go to the other side."""
        end.wanted = tracks
        end.refused = {key: why for key, why in end.refused.items() if key in {one.key for one in tracks}}
        end.take(end.negotiation.set_send_tracks(self.now, tracks), self.other(end))

    def deliver(self, end: End) -> None:
        """Let one message arrive."""
        message = end.inbox.popleft()
        take = end.negotiation.offer_received if message.is_offer else end.negotiation.answer_received
        try:
            outputs = take(self.now, message.sdp)
        except RemoteError as error:
            end.errors.append(error.reason)
        else:
            end.take(outputs, self.other(end))

    def cut(self) -> None:
        """The path is lost, and with it all that is under way."""
        for end in self.ends:
            end.inbox.clear()

    def settle(self) -> None:
        """Let all of them arrive, and what follows."""
        for _ in range(1_000):
            end = next((end for end in self.ends if end.inbox), None)
            if end is None:
                return
            self.deliver(end)
        raise AssertionError("they go on and on")

    def pass_s(self, seconds: float) -> None:
        """Time passes."""
        self.now = after_s(self.now, seconds)
        for end in self.ends:
            end.take(end.negotiation.handle_timeout(self.now), self.other(end))

    def check(self) -> None:
        """Nothing is under way, and each end has agreed on what the other has."""
        for end in self.ends:
            other = self.other(end)
            parameters, theirs = end.negotiation.parameters, other.negotiation.parameters
            assert (end.errors, end.has_failed, end.negotiation.next_timeout()) == ([], False, None)
            assert (parameters.remote_ufrag, parameters.remote_password) == (
                other.credentials.ufrag,
                other.credentials.password,
            )
            assert parameters.fingerprints == (other.fingerprint,)
            assert parameters.data_mid == theirs.data_mid is not None
            assert parameters.mixed_extensions
            received = {one.mid: one for one in theirs.receive}
            assert received.keys() == {one.mid for one in parameters.send}
            for sent in parameters.send:
                seen = received[sent.mid]
                track = next(one for one in end.wanted if one.key == sent.key)
                assert (seen.stream_id, seen.track_id, seen.cname) == (
                    track.stream_id,
                    track.track_id,
                    track.cname,
                )
                assert seen.formats == sent.formats
                assert sent.extensions.items() <= seen.extensions.items()
                streams = [(one.rid, one.ssrc, one.rtx_ssrc) for one in sent.encodings]
                assert [one[1:] for one in streams[:1]] in ([], [(sent.ssrc, sent.rtx_ssrc)])
                assert seen.encodings == tuple(
                    EncodingSpec(*one) for one in streams or [(NO_RID, sent.ssrc, sent.rtx_ssrc)]
                )
        self._check_descriptions()

    def _check_descriptions(self) -> None:
        """No SSRC names two streams of one end, and in a bundle no number means two things."""
        for end in self.ends:
            owners: dict[Ssrc, str] = {}
            for sdp in end.said:
                codecs: dict[int, str] = {}
                extensions: dict[int, str] = {}
                for section in remote(sdp).sections:
                    for codec in section.codecs:
                        for number, key in zip(codec.numbers, (codec.format.key, "rtx"), strict=False):
                            assert codecs.setdefault(number, key) == key
                    for one in section.extensions:
                        assert extensions.setdefault(one.number, one.extension) == one.extension
                    for ssrc in section.ssrcs:
                        assert owners.setdefault(Ssrc(ssrc), section.track_id) == section.track_id
