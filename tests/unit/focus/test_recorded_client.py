"""The one real client of the dialect, as recorded (`tests/vectors/element_call`), against a whole focus.

Everything that the recorded clients sent is fed in, with the room state that they wrote, to a focus that has
the name of the one at the other end. That one was a script that spoke oddly on purpose (lines `STEP`), so
what only answers it would be a lie here and is left out:

- the clients' answers, which are to its offers. Ours stay unanswered, and are configured not to be missed for
  the time of a run;
- the clients' `pong`s, which are to its pings. Ours are answered by the test.

Its hangups, rejects and silence (F1, F2, F3, F10, F11, N2 to N4, P1 to P3) are not ours either: to us, the
client of such a leg dials again out of the blue.
"""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import pytest

from sfu.conference.turn import DataChannelClosed, DataChannelOpened, DataReceived, LegConnected, SendData
from sfu.config import ConferenceConfig, SfuConfig
from sfu.plane import AddTransport, SetTrack, StreamBound
from sfu.units import Instant, Ssrc, TransportId, WallTime
from signalling.events.data_channel import (
    Error,
    MetadataChanged,
    Negotiate,
    Ping,
    Pong,
    parse_message,
    serialise_message,
)
from signalling.events.to_device import Answer, Hangup, Reject, parse_to_device
from signalling.focus.turn import Count, MessageReceived, RoomState, SendToDevice, StateEvent
from tests.support.recordings import RUNS, recorded
from tests.unit.conference.caller import of_type
from tests.unit.focus.stage import Stage, counted, letters, membership

if TYPE_CHECKING:
    from signalling.events.metadata import StreamMetadata

ROOM: Final = "!recorded:localhost"
PATIENT: Final = SfuConfig(conference=ConferenceConfig(offer_timeout_s=60.0, offer_tries=10))


class Replay(Stage):
    """A focus to which a run happens."""

    def __init__(self, run: str) -> None:
        answer = next(one for one in recorded(run, "todevice_tx") if one["type"] == "m.call.answer")
        super().__init__(config=PATIENT, identity=("@focus:localhost", answer["content"]["party_id"]))
        self.legs: dict[str, TransportId] = {}
        self.names: dict[TransportId, str] = {}
        self.told_to: dict[str, list[tuple[float, dict[str, StreamMetadata]]]] = {}
        self.offers: list[tuple[str, str]] = []
        self.at_s = 0.0
        self.members = 0
        self._run = run
        self._begin_clock()

    def _begin_clock(self) -> None:
        # Clients write the hour in which their event expires: that is what time it was.
        for entry in recorded(self._run, "http"):
            if "call.member" in entry["path"] and entry["body"]["m.calls"]:
                expires_at = entry["body"]["m.calls"][0]["m.devices"][0]["expires_ts"]
                self.wall = WallTime(expires_at - 3_600_000 - round(entry["t"] * 1_000))
                self.now = Instant(0)
                return

    def until(self, end_s: float = 1e9) -> Replay:
        for entry in recorded(self._run, "http", "todevice_rx", "dc_open", "dc_close", "dc_rx"):
            if entry["t"] > end_s:
                break
            self.pass_ms(max(entry["t"] * 1e3 - self.now / 1e6, 0))
            self.at_s = entry["t"]
            self._happen(entry)
        self.pass_ms(1_000)
        return self

    def _happen(self, entry: dict[str, Any]) -> None:
        leg = self.legs.get(entry.get("leg", ""))
        match entry["kind"]:
            case "http":
                event_type, state_key = entry["path"].split("/state/")[1].split("/")
                sender = f"@{entry['at']}:{state_key.partition(':')[2] or 'localhost'}"
                events = [StateEvent(event_type, state_key, sender, entry["body"])]
                if event_type.endswith("member"):
                    events.append(membership(state_key))
                self.give(RoomState(ROOM, tuple(events)))
            case "todevice_rx":
                self._letter(entry["event"])
            case "dc_open" if leg is not None:
                self.give(LegConnected(leg))
                self.give(DataChannelOpened(leg, 0, entry["label"]))
                self._media_flows()
            case "dc_close" if leg is not None:
                self.give(DataChannelClosed(leg, 0))
            case "dc_rx" if leg is not None and entry["msg"]["type"] != "m.call.pong":
                message = parse_message(_text(entry["msg"]))
                if not (isinstance(message, Negotiate) and message.description_type == "answer"):
                    self.give(DataReceived(leg, 0, _text(entry["msg"])))
                    self._media_flows()
            case _:
                pass

    def _letter(self, event: dict[str, Any]) -> None:
        message = parse_to_device(event["type"], event["content"])
        assert message is not None
        outputs = self.give(MessageReceived(event["sender"], message))
        for one in of_type(outputs, AddTransport):
            name = f"{event['sender'].partition(':')[0]}/{message.envelope.call_id[-4:]}"
            self.legs[name] = one.transport
            self.names[one.transport] = name.partition("/")[0]

    def _media_flows(self) -> None:
        for one in of_type(self.outputs, SetTrack):
            for encoding in range(len(one.encodings)):
                self.give(StreamBound(one.track, encoding, Ssrc(1 + encoding)))

    def _heard(self, leg: TransportId, channel: int, text: str) -> list[Any]:
        message = parse_message(text)
        match message:
            case MetadataChanged(metadata) | Negotiate(_, _, metadata):
                view = {one.stream_id: one for one in metadata or ()}
                self.told_to.setdefault(self.names[leg], []).append((self.now / 1e9, view))
            case Ping():
                return self.give(DataReceived(leg, channel, serialise_message(Pong())))
            case _:
                pass
        if isinstance(message, Negotiate) and message.description_type == "offer":
            self.offers.append((self.names[leg], message.sdp))
        return []

    def told_at(self, name: str, at_s: float) -> dict[str, StreamMetadata]:
        """What a client knows of the others at a time, by the beginnings of stream ids."""
        views = [view for told_s, view in self.told_to.get(name, []) if told_s <= at_s]
        return {stream_id[:8]: one for stream_id, one in (views[-1] if views else {}).items()}


def _text(message: dict[str, Any]) -> str:
    return json.dumps(message)


@cache
def replayed(run: str, end_s: float = 1e9) -> Replay:
    return Replay(run).until(end_s)


@pytest.mark.parametrize("run", RUNS)
def test_nothing_that_it_sent_is_refused(run: str) -> None:
    replay = replayed(run)
    assert counted(replay.outputs, "messages_refused") == []
    assert counted(replay.outputs, "invites_refused") == []
    assert letters(replay.outputs, Reject) == []
    said = [parse_message(one.text) for one in of_type(replay.outputs, SendData)]
    assert of_type(said, Error) == []
    # A leave is told twice, by the member event and by a hangup 15 ms later, which finds its leg gone.
    late = counted(replay.outputs, "signalling_messages")
    assert {(one["type"], one["outcome"]) for one in late} <= {("m.call.hangup", "ended")}


@pytest.mark.parametrize("run", RUNS)
def test_every_invite_is_answered_and_every_leg_is_ended(run: str) -> None:
    replay = replayed(run)
    invites = [
        entry["event"]["content"]["call_id"]
        for entry in recorded(run, "todevice_rx")
        if entry["event"]["type"] == "m.call.invite"
    ]
    assert [one.envelope.call_id for one in letters(replay.outputs, Answer)] == invites
    live = replay.focus.snapshot()["counts"]["participants"]
    assert len(counted(replay.outputs, "leaves")) == len(invites) - live


@pytest.mark.parametrize("run", RUNS)
def test_its_legs_end_for_the_reasons_that_are_in_the_recording(run: str) -> None:
    reasons = {one["reason"] for one in counted(replayed(run).outputs, "leaves")}
    assert reasons <= {"hangup", "not_named", "replaced", "new_session", "never_connected"}


@pytest.mark.parametrize("run", RUNS)
def test_no_client_is_named_but_by_its_own_leg(run: str) -> None:
    replay = replayed(run)
    owners: dict[str, str] = {}
    for name, views in replay.told_to.items():
        for _, view in views:
            for stream_id, one in view.items():
                assert one.user_id is not None
                assert one.user_id.partition(":")[0] != name
                assert owners.setdefault(stream_id, one.user_id) == one.user_id


def test_a_camera_that_goes_off_and_on_is_told_as_muted_and_under_the_same_ids() -> None:
    """CAP: the stream id flips in the two offers of camera-on; track ids never change."""
    replay = replayed("run1", 50.0)
    before, during, after = (replay.told_at("@bob", at_s) for at_s in (41.0, 44.0, 48.0))
    assert list(before) == list(during) == list(after) == ["96944160"]
    # Dropping a stream and listing it again is what clients take worst.
    told = [view for told_s, view in replay.told_to["@bob"] if told_s > 41.0]
    assert all(any(stream_id.startswith("96944160") for stream_id in view) for view in told)
    muted = [view["96944160"].video_muted for view in (before, during, after)]
    assert muted == [False, True, False]
    tracks = [{one.track_id for one in view["96944160"].tracks} for view in (before, during, after)]
    assert tracks[0] == tracks[1] == tracks[2]


def test_the_size_of_a_track_is_kept_when_it_disappears_with_the_camera() -> None:
    """CAP: width and height disappear from a track after camera off: keep the last known size."""
    replay = replayed("run1", 50.0)
    for at_s in (41.0, 44.0, 48.0):
        sizes = {(one.width, one.height) for one in replay.told_at("@bob", at_s)["96944160"].tracks}
        assert (1280, 720) in sizes


def test_a_microphone_that_is_muted_is_told_and_nothing_else_happens() -> None:
    """CAP: mic mute and unmute are `metadata_changed` only."""
    replay = replayed("run2", 8.0 + 20)
    offers = [
        entry
        for entry in recorded("run2", "dc_rx")
        if 14.0 < entry["t"] < 18.0 and entry["msg"]["type"] == "m.call.negotiate"
    ]
    assert offers == []
    assert replay.legs


def test_a_screen_share_comes_goes_and_comes_again() -> None:
    """CAP: a share is an offer with a new stream; its stop one with the section inactive, and without it."""
    replay = replayed("run1", 82.0)
    seen = {
        at_s: {key: one.purpose for key, one in replay.told_at("@bob", at_s).items()}
        for at_s in (48.0, 53.0, 60.0, 65.0, 82.0)
    }
    camera = {"96944160": "m.usermedia"}
    share = camera | {"d1502f2d": "m.screenshare"}
    assert list(seen.values()) == [camera, share, camera, share, camera]


def test_a_camera_that_was_off_at_the_join_is_told_when_it_comes_on() -> None:
    """CAP: such a client publishes on a section that may be ours, and its metadata stays `video_muted`."""
    replay = replayed("run6", 45.0)

    def bobs_kinds(at_s: float) -> set[str]:
        return {str(track.kind) for one in replay.told_at("@alice", at_s).values() for track in one.tracks}

    assert bobs_kinds(35.0) == {"audio"}
    assert bobs_kinds(42.0) == {"audio", "video"}
    assert all(one.video_muted for one in replay.told_at("@alice", 42.0).values())


def test_its_wishes_are_offered_with_the_ids_that_it_was_told() -> None:
    """CAP: a client maps what it receives by `a=msid`, and drops what its metadata did not name."""
    replay = replayed("run1", 34.0)
    to_bob = [sdp for name, sdp in replay.offers if name == "@bob"]
    to_alice = [sdp for name, sdp in replay.offers if name == "@alice"]
    assert any("a=msid:96944160-" in sdp for sdp in to_bob)
    assert any("a=msid:0e19bf79-" in sdp for sdp in to_alice)


def test_a_leave_ends_the_leg_by_the_member_event_before_the_hangup_comes() -> None:
    """CAP: leave, reload and tab close write `{"m.calls":[]}`, and hang up 15 ms later."""
    replay = Replay("run1").until(698.045)
    assert [one["reason"] for one in counted(replay.outputs, "leaves")][-1] == "not_named"
    replay = replayed("run1", 700.0)
    ended = [one for one in counted(replay.outputs, "signalling_messages") if one["outcome"] == "ended"]
    assert ended
    assert {one["type"] for one in ended} == {"m.call.hangup"}


def test_a_rejoin_has_a_new_session_and_is_answered() -> None:
    """CAP: a rejoin or reload has a new `session_id` and `call_id`, and counts from 0."""
    replay = replayed("run1", 760.0)
    sessions = {
        one.envelope.dest_session_id
        for one in letters(replay.outputs, Answer)
        if one.envelope.call_id.endswith(("8TeN", "E606", "zohf", "r8RP"))
    }
    assert sessions == {"IrN8NJv540", "z6f6KL2k1O", "GT5iLmFXrp", "7xWtZcZ7BP"}


def test_a_client_that_was_rejected_or_forgotten_dials_again_and_is_served() -> None:
    """CAP: it dials three times, every 5 s, after rejects (run1, F2) and after a restart (run5, N2 to N4)."""
    for run, calls in (("run1", ("cRFf", "ufdi", "wog2")), ("run5", ("BCqs", "tb0G", "ZCXB"))):
        answered = [one.envelope.call_id[-4:] for one in letters(replayed(run).outputs, Answer)]
        assert [one for one in answered if one in calls] == list(calls)


def test_a_leg_that_was_never_connected_is_given_up() -> None:
    """CAP: met with silence, a client waits 60 s, hangs up `invite_timeout` and dials again (run2, F3)."""
    replay = replayed("run2", 352.0)
    gone = [
        one
        for one in of_type(replay.outputs, SendToDevice)
        if isinstance(one.message, Hangup) and one.message.reason == "ice_failed"
    ]
    assert {one.message.envelope.call_id[-4:] for one in gone} <= {"q3I5"}
    assert Count("leaves", {"reason": "hangup"}) in replay.outputs
