"""Offers and answers of one leg, one at a time; the focus is the polite side (protocol: section 7.6)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from sfu.errors import RemoteError
from sfu.negotiation.answering import slots_after_answer, slots_after_offer
from sfu.negotiation.offering import ClientTables, carriable, slots_to_offer
from sfu.negotiation.parameters import LegParameters, SendSection, SendTrack
from sfu.negotiation.remote import read_description
from sfu.negotiation.sdp import parse_sdp
from sfu.negotiation.slots import DataSlot, Slots, media_slots, sent_keys
from sfu.negotiation.writer import LocalDescription, write_description
from sfu.plane import Credentials
from sfu.units import after_s

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from sfu.config import ConferenceConfig
    from sfu.negotiation.remote import RemoteDescription
    from sfu.units import Instant

UFRAG_LENGTH: Final = 12
PASSWORD_LENGTH: Final = 24
"""ICE wants at least 4 and 22 (RFC 8839 section 5.4); on one port for all, fragments must not be guessed."""
_ICE_CHARACTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True, slots=True)
class AnswerMade:
    """Send this answer."""

    sdp: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class OfferMade:
    """Send this offer; a repeated one is byte-identical."""

    sdp: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ParametersChanged:
    """What both sides agreed on has changed."""

    parameters: LegParameters


@dataclass(frozen=True, slots=True)
class IceRestarted:
    """The client restarted ICE: listen for these credentials too, before the answer goes out."""

    credentials: Credentials


@dataclass(frozen=True, slots=True)
class NegotiationFailed:
    """It can't go on: `no_answer`."""

    reason: str


@dataclass(frozen=True, slots=True)
class SendTrackRefused:
    """A wanted track does not reach this client: `codec` (it can't decode it), `refused` (by its answer)."""

    key: int
    reason: str


NegotiationOutput = (
    AnswerMade | OfferMade | ParametersChanged | IceRestarted | NegotiationFailed | SendTrackRefused
)


@dataclass(frozen=True, slots=True)
class _Pending:
    """Our offer that is unanswered; the table it would make, which counts only when the answer is here."""

    sdp: str
    slots: Slots
    resend_at: Instant
    tries: int


def new_credentials(rng: random.Random) -> Credentials:
    """A fresh ufrag and password."""
    return Credentials(
        "".join(rng.choice(_ICE_CHARACTERS) for _ in range(UFRAG_LENGTH)),
        "".join(rng.choice(_ICE_CHARACTERS) for _ in range(PASSWORD_LENGTH)),
    )


class Negotiation:
    """One leg's negotiation. For what the client did wrong methods raise `RemoteError`, and change nothing."""

    def __init__(self, local: LocalDescription, config: ConferenceConfig, rng: random.Random) -> None:
        self._local = local
        self._config = config
        self._rng = rng
        self._tables = ClientTables(config.codecs)
        self._slots: Slots = ()
        self._pending: _Pending | None = None
        self._wanted: tuple[SendTrack, ...] = ()
        self._refused: set[int] = set()
        self._session_id = rng.randrange(1, 2**62)
        self._version = 0
        self._parameters = LegParameters()

    @property
    def parameters(self) -> LegParameters:
        """What is agreed on now."""
        return self._parameters

    @property
    def is_established(self) -> bool:
        """Whether a first offer has been answered."""
        return bool(self._slots)

    def offer_received(self, now: Instant, sdp: str) -> list[NegotiationOutput]:
        """Answer a client's offer; an offer of ours that is unanswered is abandoned and made anew.

        Raises:
            ParseError: no description.
            RemoteError: `lite`, `setup`, `fingerprint`, `sections`: it can't be answered.
        """
        offer = read_description(parse_sdp(sdp))
        self._check_transport(offer)
        if offer.setup == "passive":
            raise RemoteError("setup", "the client must be able to start DTLS")
        slots = slots_after_offer(self._slots, offer, self._config.codecs)
        outputs: list[NegotiationOutput] = []
        if self._parameters.remote_ufrag not in {"", offer.ufrag}:
            self._local = replace(self._local, credentials=new_credentials(self._rng))
            outputs.append(IceRestarted(self._local.credentials))
        self._pending = None
        self._tables.learn(offer)
        self._slots = slots
        answer = self._write(slots, "passive", mixed=offer.mixed_extensions)
        outputs += [*self._agreed(offer), AnswerMade(answer)]
        return [*outputs, *self._offer(now)]

    def answer_received(self, now: Instant, sdp: str) -> list[NegotiationOutput]:
        """Take a client's answer to our newest offer; one that comes in stable state is ignored.

        Raises:
            ParseError: no description.
            RemoteError: `answer_mismatch`: it answers another offer; ours stays pending.
        """
        pending = self._pending
        if pending is None:
            return []
        answer = read_description(parse_sdp(sdp))
        self._check_transport(answer)
        slots = slots_after_answer(pending.slots, answer)
        for section in answer.sections:
            self._tables.used_ssrcs |= section.ssrcs
        refused = sent_keys(pending.slots) - sent_keys(slots)
        self._refused |= refused
        self._pending = None
        self._slots = slots
        outputs: list[NegotiationOutput] = [SendTrackRefused(key, "refused") for key in sorted(refused)]
        return [*outputs, *self._agreed(answer), *self._offer(now)]

    def set_send_tracks(self, now: Instant, tracks: Sequence[SendTrack]) -> list[NegotiationOutput]:
        """Say which tracks shall go to the client, all of them; what changes is offered when it can be."""
        self._wanted = tuple(tracks)
        self._refused &= {track.key for track in tracks}
        return self._offer(now)

    def handle_timeout(self, now: Instant) -> list[NegotiationOutput]:
        """Send an unanswered offer again, or give up."""
        pending = self._pending
        if pending is None or now < pending.resend_at:
            return []
        if pending.tries >= self._config.offer_tries:
            self._pending = None
            return [NegotiationFailed("no_answer")]
        self._pending = replace(
            pending, resend_at=after_s(now, self._config.offer_timeout_s), tries=pending.tries + 1
        )
        return [OfferMade(pending.sdp)]

    def next_timeout(self) -> Instant | None:
        """When the pending offer is due again."""
        return None if self._pending is None else self._pending.resend_at

    def _check_transport(self, remote: RemoteDescription) -> None:
        if remote.is_lite:
            raise RemoteError("lite", "two ICE-lite agents never find each other")
        known = self._parameters.fingerprints
        if known and remote.fingerprints and not set(known) & set(remote.fingerprints):
            raise RemoteError("fingerprint", "another certificate on a running transport")

    def _offer(self, now: Instant) -> list[NegotiationOutput]:
        if self._pending is not None or not self._slots:
            return []
        outputs: list[NegotiationOutput] = []
        for track in self._wanted:
            if track.key not in self._refused and not carriable(track, self._tables):
                self._refused.add(track.key)
                outputs.append(SendTrackRefused(track.key, "codec"))
        tracks = [track for track in self._wanted if track.key not in self._refused]
        if sent_keys(self._slots) == {track.key for track in tracks}:
            return outputs
        slots = slots_to_offer(self._slots, tracks, self._tables, self._rng)
        if slots == self._slots:
            return outputs
        sdp = self._write(slots, "actpass", mixed=self._parameters.mixed_extensions)
        self._pending = _Pending(sdp, slots, after_s(now, self._config.offer_timeout_s), 1)
        return [*outputs, OfferMade(sdp)]

    def _write(self, slots: Slots, setup: str, *, mixed: bool) -> str:
        self._version += 1
        return write_description(
            slots,
            self._local,
            session_id=self._session_id,
            version=self._version,
            setup=setup,
            mixed_extensions=mixed,
        )

    def _agreed(self, remote: RemoteDescription) -> list[NegotiationOutput]:
        data = next((slot for slot in self._slots if isinstance(slot, DataSlot)), None)
        before = self._parameters
        self._parameters = LegParameters(
            receive=tuple(slot.receive for slot in media_slots(self._slots) if slot.receive is not None),
            send=_send_sections(self._slots),
            fingerprints=remote.fingerprints or before.fingerprints,
            remote_ufrag=remote.ufrag or before.remote_ufrag,
            remote_password=remote.password or before.remote_password,
            data_mid=None if data is None else data.mid,
            data_port=remote.data_port,
            mixed_extensions=remote.mixed_extensions or before.mixed_extensions,
            receivable=self._tables.receivable(),
        )
        return [] if self._parameters == before else [ParametersChanged(self._parameters)]


def _send_sections(slots: Slots) -> tuple[SendSection, ...]:
    return tuple(
        SendSection(
            mid=slot.mid,
            kind=slot.kind,
            key=slot.send.track.key,
            formats=tuple(
                codec.format for codec in slot.codecs if codec.format.key in slot.send.track.codec_keys
            ),
            extensions={one.extension: one.number for one in slot.extensions},
            ssrc=slot.send.ssrc,
            rtx_ssrc=slot.send.rtx_ssrc,
            cname=slot.send.track.cname,
        )
        for slot in media_slots(slots)
        if slot.send is not None
    )
