"""What `docs/cascade.md` says is what the code does, and every section of it that is cited is there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sfu.conference import guests
from sfu.negotiation.encodings import encodings_of
from sfu.negotiation.sdp import MediaSection
from sfu.plane import EncodingSpec
from sfu.units import Rid, Ssrc
from signalling.events import cascade, data_channel, metadata, ours, to_device
from signalling.events.data_channel import parse_message
from signalling.events.to_device import FOCUS_SESSION_ID, Invite, parse_to_device
from signalling.focus.cascade import dialling, foci, trust
from signalling.focus.cascade.settings import CascadeSettings
from signalling.focus.cascade.trust import InviteRefusal, StreamRefusal

if TYPE_CHECKING:
    import enum

ROOT = Path(__file__).parents[4]
TEXT = (ROOT / "docs" / "cascade.md").read_text(encoding="utf-8")
EXAMPLES: list[dict[str, Any]] = [
    json.loads(block) for block in re.findall(r"^```json\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
]
TO_DEVICE = [one for one in EXAMPLES if "call_id" in one["content"]]
ON_CHANNEL = [one for one in EXAMPLES if one not in TO_DEVICE]


def table(head: str) -> dict[str, str]:
    """The first two columns of the table whose head begins so."""
    rows = TEXT.partition(f"| {head} |")[2].partition("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip().strip("`") for cell in row.split("|")[1:3]] for row in rows]
    return dict(cells)


def test_it_says_at_the_top_that_it_is_switched_on() -> None:
    assert TEXT.split("\n\n")[1].startswith("**On unless the operator says otherwise** (`cascade.enabled`)")
    assert CascadeSettings().enabled


def test_every_section_that_is_cited_is_there() -> None:
    headings = re.findall(r"^## ([0-9]+)\. ", TEXT, re.MULTILINE)
    assert headings == [str(number) for number in range(1, len(headings) + 1)]
    cited = [
        number
        for folder in ("signalling", "sfu")
        for path in (ROOT / folder).rglob("*.py")
        for number in re.findall(r"cascade: section ([0-9]+)", path.read_text(encoding="utf-8"))
    ]
    assert cited
    assert set(cited) <= set(headings)
    assert set(re.findall(r"\(section ([0-9]+)\)", TEXT)) <= set(headings)


@pytest.mark.parametrize(
    ("head", "closed_list"), [("`reason` of a reject", InviteRefusal), ("refused as", StreamRefusal)]
)
def test_the_lists_of_refusals_are_those_of_the_code(head: str, closed_list: type[enum.StrEnum]) -> None:
    assert list(table(head)) == list(closed_list)


def test_timers_and_limits_are_those_of_the_code() -> None:
    assert table("what | value") == {
        "the second focus waits before it dials": f"{dialling.WAIT_S:g} s",
        "from an invite until the trunk is up; lifetime of the invite": f"{dialling.DIAL_S:g} s",
        "first pause after a failure": f"{dialling.FIRST_PAUSE_S:g} s",
        "longest pause": f"{dialling.LONGEST_PAUSE_S:g} s",
        "failures count no more after": f"{dialling.MEMORY_S:g} s",
        "longest pause after `no_trunks": f"{dialling.OFF_S:g} s",
        "a trunk of no use is kept for": f"{dialling.IDLE_S:g} s",
        "foci of a call that are dialled": str(foci.MAX_OTHERS),
        "foci that the devices of one user are on": str(foci.MAX_NAMED_BY_USER),
        "foci in one `m.call.connect_to_focus": str(cascade.MAX_FOCI),
        "streams in an announcement": str(metadata.MAX_STREAMS),
        "people that a trunk announces; their tracks": f"{guests.MAX_GUESTS}; {guests.MAX_TRACKS:,}",
        "foci in a path": str(cascade.MAX_PATH),
        "layers of a track": str(cascade.MAX_LAYERS),
        "tracks of one person": str(trust.MAX_TRACKS_OF_PERSON),
    }


def test_its_states_are_those_of_a_trunk() -> None:
    states = ["Idle", "Waiting", "Dialling", "Answering", "Up", "BackingOff", "Resting"]
    assert all(hasattr(dialling, name) for name in states)
    assert len(dialling.State.__args__) == len(states)
    told = [name.title().replace(" ", "") for name in table("state")]
    assert told == states


@pytest.mark.parametrize("example", TO_DEVICE, ids=lambda one: str(one["type"]))
def test_its_to_device_messages_are_what_we_read_and_write(example: dict[str, Any]) -> None:
    message = parse_to_device(example["type"], example["content"])
    assert message is not None
    assert message.content() == example["content"]
    assert message.envelope.sender_session_id == message.envelope.dest_session_id == FOCUS_SESSION_ID
    if isinstance(message, Invite):
        assert message.lifetime_ms == dialling.DIAL_S * 1_000
        assert message.room_id is not None


@pytest.mark.parametrize("example", ON_CHANNEL, ids=lambda one: str(one["type"]))
def test_its_messages_of_the_channel_are_what_we_read_and_write(example: dict[str, Any]) -> None:
    message = parse_message(json.dumps(example))
    assert {"type": message.type, "content": message.content()} == example


def test_it_has_an_example_of_every_message_that_only_foci_need() -> None:
    assert {one["type"] for one in EXAMPLES} == {
        *(to_device.INVITE, to_device.ANSWER, cascade.CONNECT_TO_FOCUS),
        *(data_channel.METADATA_CHANGED, data_channel.TRACK_SUBSCRIPTION, ours.WHY),
    }
    written = json.dumps(EXAMPLES)
    assert all(key in written for key in (cascade.ROOM_KEY, cascade.PATH_KEY, cascade.LAYERS_KEY))


def test_its_section_with_several_layers_is_read_as_it_is_meant() -> None:
    block = re.search(r"^```\n(m=video.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    assert block is not None
    section = MediaSection.parse(tuple(block[1].splitlines()))
    assert encodings_of(section) == (
        EncodingSpec(Rid("q"), Ssrc(1001), Ssrc(1002)),
        EncodingSpec(Rid("h"), Ssrc(1003), Ssrc(1004)),
    )
