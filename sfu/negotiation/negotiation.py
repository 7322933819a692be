"""Offers and answers of one leg, one at a time; the focus is the polite side (protocol: section 7.6)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from sfu.errors import RemoteError
from sfu.negotiation.answering import slots_after_answer, slots_after_offer
from sfu.negotiation.codecs import formats_of
from sfu.negotiation.extensions import numbers_of, without_rids
from sfu.negotiation.identifiers import Identifiers
from sfu.negotiation.offering import idle_again, slots_to_offer
from sfu.negotiation.parameters import LegParameters, SendSection, SendTrack
from sfu.negotiation.remote import read_description
from sfu.negotiation.sdp import parse_sdp
from sfu.negotiation.slots import DataSlot, Slots, media_slots, sent_keys
from sfu.negotiation.tables import ClientTables
from sfu.negotiation.writer import LocalDescription, write_description
from sfu.plane import Credentials
from sfu.units import after_s

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Sequence

    from sfu.config import ConferenceConfig
    from sfu.negotiation.remote import RemoteDescription
    from sfu.negotiation.slots import MediaSlot, Sending
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
    """A wanted track does not reach this client.

    `codec`: it can't decode it; `refused`: by its answer; `full`: of `MAX_SLOTS` sections none is free.
    """

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


@dataclass(frozen=True, slots=True)
class _Answered:
    """The client's newest offer and our answer to it: where the offer comes twice, so does the answer."""

    offer: str
    answer: str


@dataclass(frozen=True, slots=True)
class _Repeatable:
    """The answer taken last, and how often it may come again: as often as we repeated its offer."""

    answer: str
    times: int

    @classmethod
    def of(cls, sdp: str, times: int) -> _Repeatable:
        """An answer; one that can't come again is not kept: it has a kilobyte for each section."""
        return cls(_unversioned(sdp) if times else "", times)

    def is_repeated_by(self, sdp: str) -> bool:
        """Whether an answer is this one: clients count their descriptions, and nothing else differs."""
        return self.times > 0 and _unversioned(sdp) == self.answer


def new_credentials(rng: random.Random) -> Credentials:
    """A fresh ufrag and password."""
    return Credentials(
        "".join(rng.choice(_ICE_CHARACTERS) for _ in range(UFRAG_LENGTH)),
        "".join(rng.choice(_ICE_CHARACTERS) for _ in range(PASSWORD_LENGTH)),
    )


class Negotiation:
    """One leg's negotiation.

    For what the client did wrong methods raise `RemoteError`, and nothing has changed.
    """

    def __init__(self, local: LocalDescription, config: ConferenceConfig, rng: random.Random) -> None:
        self._local = local
        self._config = config
        self._rng = rng
        self._tables = ClientTables(config.codecs)
        self._slots: Slots = ()
        self._identifiers = Identifiers.drawn_from(rng)
        self._answered: _Answered | None = None
        self._pending: _Pending | None = None
        self._repeatable = _Repeatable("", 0)
        self._abandoned: Slots = ()
        """Offered last and not answered: a client that took it all the same holds on to its sections."""
        self._wanted: tuple[SendTrack, ...] = ()
        self._refused: dict[int, str] = {}
        self._session_id = rng.randrange(1, 2**62)
        self._version = 0
        self._parameters = LegParameters()

    @property
    def parameters(self) -> LegParameters:
        """What is agreed on now."""
        return self._parameters

    def offer_received(self, now: Instant, sdp: str) -> list[NegotiationOutput]:
        """Answer a client's offer; an offer of ours that is unanswered is abandoned and made anew.

        An offer that comes twice is answered as before, and what we offered after it is said again.

        Raises:
            ParseError: no description.
            RemoteError: `lite`, `setup`, `fingerprint`, `sections`: it can't be answered.
        """
        if self._answered is not None and sdp == self._answered.offer:
            return [AnswerMade(self._answered.answer), *self._repeat(now)]
        offer = read_description(parse_sdp(sdp))
        self._check_transport(offer)
        if offer.setup == "passive":
            raise RemoteError("setup", "the client must be able to start DTLS")
        slots = slots_after_offer(self._slots, offer, self._config.codecs)
        outputs: list[NegotiationOutput] = []
        if self._restarts_ice(offer):
            self._local = replace(self._local, credentials=new_credentials(self._rng))
            outputs.append(IceRestarted(self._local.credentials))
        if self._pending is not None:
            self._abandoned = self._pending.slots
        self._pending = None
        self._learn(offer)
        self._slots = slots
        answer = self._write(slots, "passive", mixed=offer.mixed_extensions)
        self._answered = _Answered(sdp, answer)
        outputs += [*self._agreed(offer), AnswerMade(answer)]
        return [*outputs, *self._offer(now)]

    @property
    def expects_answer(self) -> bool:
        """Whether an offer of ours is unanswered, or its client may answer one a second time."""
        return self._pending is not None or self._repeatable.times > 0

    def answer_received(self, now: Instant, sdp: str) -> list[NegotiationOutput]:
        """Take a client's answer to our newest offer.

        One that comes in stable state is ignored, and so is one that comes again: where we sent an offer
        several times, a slow client answers each.

        Raises:
            ParseError: no description.
            RemoteError: `answer_mismatch`: it answers another offer; ours stays pending.
        """
        pending = self._pending
        if self._repeatable.is_repeated_by(sdp):
            self._repeatable = replace(self._repeatable, times=self._repeatable.times - 1)
            return []
        if pending is None:
            return []
        answer = read_description(parse_sdp(sdp))
        self._check_transport(answer)
        slots = slots_after_answer(pending.slots, answer)
        self._identifiers.avoid(answer)
        self._answered = self._pending = None
        self._repeatable = _Repeatable.of(sdp, pending.tries - 1)
        self._abandoned = ()
        self._slots = slots
        outputs = self._refuse(sorted(sent_keys(pending.slots) - sent_keys(slots)), "refused")
        return [*outputs, *self._agreed(answer), *self._offer(now)]

    def set_send_tracks(self, now: Instant, tracks: Sequence[SendTrack]) -> list[NegotiationOutput]:
        """Say which tracks shall go to the client, all of them; what changes is offered when it can be."""
        self._wanted = tuple(tracks)
        wanted = {track.key for track in tracks}
        self._refused = {key: reason for key, reason in self._refused.items() if key in wanted}
        return self._offer(now)

    def handle_timeout(self, now: Instant) -> list[NegotiationOutput]:
        """Send an unanswered offer again, or give up."""
        pending = self._pending
        if pending is None or now < pending.resend_at:
            return []
        if pending.tries >= self._config.offer_tries:
            self._pending = None
            return [NegotiationFailed("no_answer")]
        return self._repeat(now)

    def next_timeout(self) -> Instant | None:
        """When the pending offer is due again."""
        return None if self._pending is None else self._pending.resend_at

    def _check_transport(self, remote: RemoteDescription) -> None:
        if remote.is_lite:
            raise RemoteError("lite", "two ICE-lite agents never find each other")
        known = self._parameters.fingerprints
        if known and remote.fingerprints and not set(known) & set(remote.fingerprints):
            raise RemoteError("fingerprint", "another certificate on a running transport")

    def _restarts_ice(self, offer: RemoteDescription) -> bool:
        known = self._parameters.remote_ufrag, self._parameters.remote_password
        return bool(offer.ufrag) and known not in {("", ""), (offer.ufrag, offer.password)}

    def _learn(self, offer: RemoteDescription) -> None:
        self._tables.learn(offer)
        self._identifiers.avoid(offer)
        carriable = {track.key for track in self._wanted if self._tables.carriable(track)}
        self._refused = {
            key: reason for key, reason in self._refused.items() if reason != "codec" or key not in carriable
        }

    def _repeat(self, now: Instant) -> list[NegotiationOutput]:
        pending = self._pending
        if pending is None:
            return []
        resend_at = after_s(now, self._config.offer_timeout_s)
        self._pending = replace(pending, resend_at=resend_at, tries=pending.tries + 1)
        return [OfferMade(pending.sdp)]

    def _offer(self, now: Instant) -> list[NegotiationOutput]:
        if self._pending is not None or not self._slots:
            return []
        uncarriable = [track.key for track in self._wanted if not self._tables.carriable(track)]
        outputs = self._refuse(uncarriable, "codec")
        # Room may have been made; the other reasons last as long as the track is wanted.
        tracks = [track for track in self._wanted if self._refused.get(track.key, "full") == "full"]
        if sent_keys(self._slots) == {track.key for track in tracks}:
            return outputs
        # Where an offer of ours was under way another way than the client's, it comes late and is applied.
        table = (*self._slots, *idle_again(self._abandoned[len(self._slots) :], self._tables))
        slots = slots_to_offer(table, tracks, self._tables, self._identifiers)
        carried = sent_keys(slots)
        outputs += self._refuse([track.key for track in tracks if track.key not in carried], "full")
        self._refused = {key: reason for key, reason in self._refused.items() if key not in carried}
        if slots == self._slots:
            return outputs
        sdp = self._write(slots, "actpass", mixed=self._parameters.mixed_extensions)
        self._pending = _Pending(sdp, slots, after_s(now, self._config.offer_timeout_s), 1)
        return [*outputs, OfferMade(sdp)]

    def _refuse(self, keys: Iterable[int], reason: str) -> list[NegotiationOutput]:
        fresh = [key for key in keys if key not in self._refused]
        self._refused |= dict.fromkeys(fresh, reason)
        return [SendTrackRefused(key, reason) for key in fresh]

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


def _unversioned(sdp: str) -> str:
    return "\n".join(line for line in sdp.splitlines() if not line.startswith("o="))


def _send_sections(slots: Slots) -> tuple[SendSection, ...]:
    return tuple(_send_section(slot, slot.send) for slot in media_slots(slots) if slot.send is not None)


def _send_section(slot: MediaSlot, sending: Sending) -> SendSection:
    formats = formats_of(slot.codecs, sending.track.codec_keys)
    is_repaired = any(form.rtx_payload_type is not None for form in formats)
    return SendSection(
        mid=slot.mid,
        kind=slot.kind,
        key=sending.track.key,
        formats=formats,
        extensions=numbers_of(without_rids(slot.extensions)),
        ssrc=sending.ssrc,
        rtx_ssrc=sending.rtx_ssrc if is_repaired else None,
        cname=sending.track.cname,
    )
