from __future__ import annotations

from sfu.units import Instant, after_ms, after_s
from signalling.events.data_channel import (
    ActiveSpeaker,
    Error,
    Frame,
    MetadataChanged,
    Negotiate,
    Ping,
    Pong,
    Speakers,
    frame_of,
)
from signalling.events.metadata import StreamMetadata
from signalling.focus.channel import MAX_PER_S, ClosedChannel, OpenChannel
from signalling.focus.settings import CallSettings

NOW = Instant(3)
SETTINGS = CallSettings(ping_interval_s=10.0, pong_timeout_s=25.0)


PING = frame_of(Ping())


def view(number: int) -> Frame:
    return frame_of(MetadataChanged((StreamMetadata(f"stream-{number}", "m.usermedia"),)))


def due_at(channel: OpenChannel) -> Instant:
    at = channel.next_timeout()
    assert at is not None
    return at


def test_a_closed_channel_has_nothing_to_do() -> None:
    assert ClosedChannel().next_timeout() is None


def test_metadata_is_told_at_once_until_it_is_too_much_and_then_only_the_newest() -> None:
    channel = OpenChannel(NOW, 0, SETTINGS)
    said = [channel.say(NOW, view(number)) for number in range(MAX_PER_S + 3)]
    assert said == [[view(number)] for number in range(MAX_PER_S)] + [[]] * 3
    at = due_at(channel)
    assert at == after_s(NOW, 1)
    assert channel.handle_timeout(Instant(at - 1)) == []
    assert channel.handle_timeout(at) == [view(MAX_PER_S + 2)]
    assert due_at(channel) == after_s(NOW, SETTINGS.ping_interval_s)


def test_what_waited_is_not_said_after_something_newer() -> None:
    channel = OpenChannel(NOW, 0, SETTINGS)
    for number in range(MAX_PER_S + 1):
        channel.say(NOW, view(number))
    later = after_s(NOW, 1.5)
    assert channel.say(later, view(9)) == [view(9)]
    assert channel.handle_timeout(later) == []


def test_each_type_has_a_pace_of_its_own() -> None:
    channel = OpenChannel(NOW, 0, SETTINGS)
    speakers = frame_of(Speakers((ActiveSpeaker("@a:x", "A", 0.5),)))
    for number in range(MAX_PER_S + 1):
        channel.say(NOW, view(number))
    assert channel.say(NOW, speakers) == [speakers]


def test_errors_and_pongs_beyond_the_pace_are_dropped() -> None:
    channel = OpenChannel(NOW, 0, SETTINGS)
    for message in (frame_of(Error("malformed", "")), frame_of(Pong())):
        said: list[Frame] = []
        for _ in range(MAX_PER_S + 5):
            said += channel.say(NOW, message)
        assert said == [message] * MAX_PER_S
    assert channel.handle_timeout(after_s(NOW, 2)) == []


def test_descriptions_always_go() -> None:
    channel = OpenChannel(NOW, 0, SETTINGS)
    answer = frame_of(Negotiate("answer", "v=0"))
    assert all(channel.say(NOW, answer) == [answer] for _ in range(50))


def test_the_client_is_pinged_every_interval() -> None:
    channel = OpenChannel(NOW, 0, SETTINGS)
    now = NOW
    for _ in range(5):
        assert due_at(channel) == after_s(now, 10)
        now = due_at(channel)
        assert channel.handle_timeout(now) == [PING]
        channel.pong_received()
        assert not channel.is_dead(after_s(now, 9))


def test_a_client_is_dead_when_the_first_unanswered_ping_is_too_old() -> None:
    channel = OpenChannel(NOW, 0, SETTINGS)
    for seconds in (10, 20, 30):
        assert channel.handle_timeout(after_s(NOW, seconds)) == [PING]
    assert due_at(channel) == after_s(NOW, 10 + 25)
    assert not channel.is_dead(after_ms(NOW, 34_999))
    assert channel.is_dead(after_s(NOW, 35))


def test_an_answer_to_a_later_ping_is_an_answer() -> None:
    channel = OpenChannel(NOW, 0, SETTINGS)
    channel.handle_timeout(after_s(NOW, 10))
    channel.handle_timeout(after_s(NOW, 20))
    channel.pong_received()
    assert not channel.is_dead(after_s(NOW, 600))
    channel.handle_timeout(after_s(NOW, 30))
    assert channel.is_dead(after_s(NOW, 55))
