"""One leg: the connection between one device of a user, or another focus, and this focus, in one call."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sfu.units import earliest
from signalling.events.to_device import FOCUS_SESSION_ID, Envelope
from signalling.focus.channel import ClosedChannel, OpenChannel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sfu.config import LimitsConfig
    from sfu.units import Instant, TransportId
    from signalling.focus.caps import CapRule
    from signalling.focus.cascade.end import TrunkEnd
    from signalling.focus.ordering import Ordering
    from signalling.focus.settings import CallSettings
    from signalling.focus.turn import MessageReceived


@dataclass(frozen=True, slots=True)
class Identity:
    """The focus's own account, as clients know it."""

    user_id: str
    device_id: str


@dataclass(frozen=True, slots=True)
class Terms:
    """What every part of the focus goes by."""

    identity: Identity
    settings: CallSettings
    limits: LimitsConfig
    caps: Sequence[CapRule] = ()


@dataclass(frozen=True, slots=True)
class CallKey:
    """What a call is. Its `conf_id` alone is not enough: anybody can repeat it in a room of their own."""

    room_id: str
    conf_id: str


@dataclass(frozen=True, slots=True)
class LegKey:
    """What a leg is, over all its redials."""

    call: CallKey
    user_id: str
    device_id: str
    is_trunk: bool = False
    """It is a focus that is connected, not a client, even if it has the same account."""


@dataclass(frozen=True, slots=True)
class Dialled:
    """One dial of a client, as its messages name it; which room it means is for the focus to find out."""

    user_id: str
    """Vouched for by the homeserver: another user's messages never have the same."""
    device_id: str
    conf_id: str
    call_id: str

    @classmethod
    def by(cls, given: MessageReceived) -> Dialled:
        """The dial that a message belongs to."""
        envelope = given.message.envelope
        return cls(given.sender, envelope.device_id, envelope.conf_id, envelope.call_id)


class Way(enum.Enum):
    """How a description goes, or came."""

    INVITE = "invite"
    CHANNEL = "channel"
    TO_DEVICE = "to_device"


# --- how a leg stands with the room -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Awaited:
    """Answered before its member event came: until then nothing is forwarded or announced."""

    until: Instant


@dataclass(frozen=True, slots=True)
class Admitted:
    """Its member event names it."""

    until: Instant
    """When that event expires, unless it has been renewed by then."""


Standing = Awaited | Admitted


# --- how far its transport is -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Connecting:
    """Answered; ICE and DTLS are on their way."""

    until: Instant


@dataclass(frozen=True, slots=True)
class Connected:
    """Its DTLS handshake is done."""


Connection = Connecting | Connected


@dataclass(slots=True)
class Leg:
    """One leg, from its answer to its end."""

    key: LegKey
    dialled: Dialled
    session_id: str
    transport: TransportId
    standing: Standing
    connection: Connection
    ordering: Ordering[MessageReceived]
    is_encrypted: bool = False
    """Its invite was; what goes to it is, and what comes for it in the clear is not believed."""
    worker: int = 0
    """That of the plane which its media passes."""
    channel: OpenChannel | ClosedChannel = field(default_factory=ClosedChannel)
    negotiates_by: Way = Way.CHANNEL
    """How its client last sent a description of its own accord."""
    trunk: TrunkEnd | None = None
    """It leads to another focus; None: to a client."""
    _seq: int = 0
    _offer: str = ""
    _offer_tries: int = 0

    def envelope(self, identity: Identity) -> Envelope:
        """The common fields of the next to-device message to this leg.

        Takes a number: each envelope must be sent, or the client waits for it for ever.
        """
        seq, self._seq = self._seq, self._seq + 1
        return Envelope(
            call_id=self.dialled.call_id,
            party_id=identity.device_id,
            conf_id=self.dialled.conf_id,
            device_id=identity.device_id,
            sender_session_id=FOCUS_SESSION_ID,
            dest_session_id=self.session_id,
            seq=seq,
        )

    def way_of_offer(self, sdp: str) -> Way:
        """How an offer of ours goes: as the client negotiates, and the other way where it is repeated.

        An offer is repeated when it was not answered: the channel may be dead, or the client may be one that
        knows only to-device messages.
        """
        if self.trunk is not None:
            return Way.TO_DEVICE if isinstance(self.channel, ClosedChannel) else Way.CHANNEL
        self._offer_tries = self._offer_tries + 1 if sdp == self._offer else 0
        self._offer = sdp
        if isinstance(self.channel, ClosedChannel):
            return Way.TO_DEVICE
        is_other = self._offer_tries % 2 == 1
        return Way.TO_DEVICE if (self.negotiates_by is Way.TO_DEVICE) != is_other else Way.CHANNEL

    def next_timeout(self) -> Instant | None:
        """When something of this leg is due."""
        connecting = self.connection.until if isinstance(self.connection, Connecting) else None
        is_asking = self.trunk is not None and isinstance(self.channel, OpenChannel)
        asking = self.trunk.asking.next_timeout() if self.trunk is not None and is_asking else None
        return earliest(
            self.standing.until, connecting, self.ordering.next_timeout(), self.channel.next_timeout(), asking
        )
