"""Offers and answers of one leg, one at a time; who is called is the polite side (protocol: section 7.6)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from sfu.errors import LocalError, RemoteError
from sfu.negotiation.agreement import agreed_on
from sfu.negotiation.answering import slots_after_answer, slots_after_offer
from sfu.negotiation.candidates import host_candidates
from sfu.negotiation.exchange import Answered, Pending, Repeatable
from sfu.negotiation.identifiers import Identifiers
from sfu.negotiation.offering import idle_again, slots_to_offer
from sfu.negotiation.parameters import LegParameters, SendTrack
from sfu.negotiation.remote import read_description
from sfu.negotiation.role import Role
from sfu.negotiation.sdp import parse_sdp
from sfu.negotiation.slots import DataSlot, Slots, new_data_slot, sent_keys
from sfu.negotiation.tables import ClientTables
from sfu.negotiation.writer import LocalDescription, write_description
from sfu.plane import Credentials
from sfu.units import after_s

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Sequence

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
    """The client begins ICE anew: listen for these credentials too, before they go out."""

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


def new_credentials(rng: random.Random) -> Credentials:
    """A fresh ufrag and password."""
    return Credentials(
        "".join(rng.choice(_ICE_CHARACTERS) for _ in range(UFRAG_LENGTH)),
        "".join(rng.choice(_ICE_CHARACTERS) for _ in range(PASSWORD_LENGTH)),
    )


class Negotiation:
    """One leg's negotiation.

    "The client" is whoever is at the other end: of a `CALLER`, the focus that it calls. For what the client
    did wrong methods raise `RemoteError`, and nothing has changed.
    """

    def __init__(
        self,
        local: LocalDescription,
        config: ConferenceConfig,
        rng: random.Random,
        role: Role = Role.CALLEE,
    ) -> None:
        self._role = role
        self._local = replace(local, is_lite=role is Role.CALLEE)
        self._config = config
        self._rng = rng
        self._tables = ClientTables(config.codecs, role.numbers)
        self._slots: Slots = ()
        self._identifiers = Identifiers.drawn_from(rng, role.mid_letter)
        self._answered: Answered | None = None
        self._pending: Pending | None = None
        self._repeatable = Repeatable()
        self._abandoned: Slots = ()
        """Offered last and not answered: a client that took it all the same holds on to its sections."""
        self._wanted: tuple[SendTrack, ...] = ()
        self._refused: dict[int, str] = {}
        self._session_id = rng.randrange(1, 2**62)
        self._version = 0
        self._parameters = LegParameters()
        self._former: tuple[str, str] | None = None
        """Credentials of the client before ICE was restarted last: what still comes under them is late."""

    @property
    def parameters(self) -> LegParameters:
        """What is agreed on now."""
        return self._parameters

    def first_offer(self) -> list[NegotiationOutput]:
        """Call: offer a data channel, and nothing else before it is agreed on.

        It is neither repeated nor given up: a call goes by messages that are not lost, and may ring for long.

        Raises:
            LocalError: we are called, or have called already.
        """
        if self._role is not Role.CALLER or self._slots or self._pending is not None:
            raise LocalError(f"a first offer of the {self._role.value} after {self._version} descriptions")
        # Foci read both forms of header extensions in one stream.
        return self._propose(None, (new_data_slot(self._identifiers.mid()),), mixed=True)

    def offer_received(self, now: Instant, sdp: str) -> list[NegotiationOutput]:
        """Answer a client's offer; an offer of ours that is unanswered is abandoned and made anew.

        An offer that comes twice is answered as before, and what we offered after it is said again. One from
        before an ICE restart is ignored, and so is one that meets an offer of a `CALLER`: it is the other
        side's turn to give way.

        Raises:
            ParseError: no description.
            RemoteError: `lite`, `setup`, `fingerprint`, `sections`: it can't be answered.
        """
        if self._role is Role.CALLER and (self._pending is not None or not self._slots):
            return []
        if self._answered is not None and sdp == self._answered.offer:
            return [AnswerMade(self._answered.answer), *self._repeat(now)]
        offer = read_description(parse_sdp(sdp))
        if self._is_late(offer):
            return []
        self._check_transport(offer, is_answer=False)
        slots = slots_after_offer(self._slots, offer, self._config.codecs)
        outputs: list[NegotiationOutput] = []
        if self._restarts_ice(offer):
            outputs.append(self._renew_credentials())
        if self._pending is not None:
            self._abandoned = self._pending.slots
        self._pending = None
        self._learn(offer)
        self._slots = slots
        answer = self._write(slots, self._role.setup, mixed=offer.mixed_extensions)
        self._answered = Answered(sdp, answer)
        outputs += [*self._agreed(offer), AnswerMade(answer)]
        return [*outputs, *self._offer(now)]

    @property
    def expects_answer(self) -> bool:
        """Whether an offer of ours is unanswered, or its client may answer one a second time."""
        return self._pending is not None or self._repeatable.times > 0

    def answer_received(self, now: Instant, sdp: str) -> list[NegotiationOutput]:
        """Take a client's answer to our newest offer.

        One that comes in stable state is ignored, and so is one that comes again: where we sent an offer
        several times, a slow client answers each. One from before an ICE restart is ignored, too.

        Raises:
            ParseError: no description.
            RemoteError: `answer_mismatch`: it answers another offer; `lite`, `setup`, `fingerprint`: it is
                another transport; `sections`: who we call takes no data channel. Our offer stays pending.
        """
        pending = self._pending
        if self._repeatable.is_repeated_by(sdp):
            self._repeatable = self._repeatable.once_less()
            return []
        if pending is None:
            return []
        answer = read_description(parse_sdp(sdp))
        if self._is_late(answer):
            return []
        self._check_transport(answer, is_answer=True)
        slots = slots_after_answer(pending.slots, answer)
        if self._role is Role.CALLER and not any(isinstance(slot, DataSlot) for slot in slots):
            raise RemoteError("sections", "a call of ours without its data channel")
        self._identifiers.avoid(answer)
        self._answered = self._pending = None
        self._repeatable = Repeatable.of(sdp, pending.tries - 1)
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
        if pending is None or pending.resend_at is None or now < pending.resend_at:
            return []
        if pending.tries >= self._config.offer_tries:
            self._pending = None
            return [NegotiationFailed("no_answer")]
        return self._repeat(now)

    def next_timeout(self) -> Instant | None:
        """When the pending offer is due again."""
        return None if self._pending is None else self._pending.resend_at

    def _check_transport(self, remote: RemoteDescription, *, is_answer: bool) -> None:
        self._role.check(remote, is_answer=is_answer)
        known = self._parameters.fingerprints
        if known and remote.fingerprints and not set(known) & set(remote.fingerprints):
            raise RemoteError("fingerprint", "another certificate on a running transport")

    def _restarts_ice(self, offer: RemoteDescription) -> bool:
        return bool(offer.ufrag) and self._credentials not in {("", ""), (offer.ufrag, offer.password)}

    def _renew_credentials(self) -> IceRestarted:
        self._former = self._credentials
        self._local = replace(self._local, credentials=new_credentials(self._rng))
        return IceRestarted(self._local.credentials)

    def _is_late(self, remote: RemoteDescription) -> bool:
        return (remote.ufrag, remote.password) == self._former

    @property
    def _credentials(self) -> tuple[str, str]:
        """Of the client."""
        return self._parameters.remote_ufrag, self._parameters.remote_password

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
        self._pending = pending.repeated(after_s(now, self._config.offer_timeout_s))
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
        resend_at = after_s(now, self._config.offer_timeout_s)
        return [*outputs, *self._propose(resend_at, slots, mixed=self._parameters.mixed_extensions)]

    def _propose(self, resend_at: Instant | None, slots: Slots, *, mixed: bool) -> list[NegotiationOutput]:
        sdp = self._write(slots, "actpass", mixed=mixed)
        self._pending = Pending(sdp, slots, resend_at)
        return [OfferMade(sdp)]

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
        before = self._parameters
        self._parameters = agreed_on(
            self._slots,
            remote,
            before,
            receivable=self._tables.receivable(),
            candidates=host_candidates(remote) if self._role is Role.CALLER else (),
        )
        return [] if self._parameters == before else [ParametersChanged(self._parameters)]
