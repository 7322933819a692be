"""Parts of the reference client by themselves, in a browser, without a focus. Costs about 5 s."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.e2e.browsers import chromium

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Page

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(60)]

CONF = "conf-1"
NOW = 1_000_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page() -> AsyncIterator[Page]:
    async with chromium() as browser, browser.blank() as page:
        yield page


async def run(page: Page, module: str, script: str) -> Any:  # noqa: ANN401  # JSON
    """The value of a script's last expression; in it `part` is a module of the client."""
    body = f"const part = await import('/focus-client/{module}.js'); {script}"
    return await page.evaluate(f"async () => {{ {body} }}")


async def order(page: Page, *numbers: int | None) -> list[list[int | None] | None]:
    """What can be processed after each message, by its number."""
    given = json.dumps([{} if number is None else {"seq": number} for number in numbers])
    script = f"""
        const order = new part.SeqOrder();
        const seqs = (messages) => messages?.map(({{ content }}) => content.seq ?? null) ?? null;
        return {given}.map((content) => seqs(order.take({{ content }})));
    """
    return list(await run(page, "post", script))


async def test_messages_are_processed_in_the_order_of_their_numbers(page: Page) -> None:
    assert await order(page, 0, 2, 3, 1) == [[0], [], [], [1, 2, 3]]


async def test_a_message_that_comes_again_is_ignored(page: Page) -> None:
    assert await order(page, 0, 0, 2, 2, 1) == [[0], None, [], None, [1, 2]]


async def test_a_message_without_a_number_does_not_wait(page: Page) -> None:
    assert await order(page, 1, None) == [[], [None]]


async def test_a_number_that_never_comes_is_given_up(page: Page) -> None:
    script = """
        const order = new part.SeqOrder();
        for (const seq of [0, 3, 2]) order.take({ content: { seq } });
        const before = order.hasGap;
        return [before, order.skip().map(({ content }) => content.seq), order.hasGap, order.skip()];
    """
    assert await run(page, "post", script) == [True, [2, 3], False, []]


async def on_clock(page: Page, module: str, script: str) -> Any:  # noqa: ANN401  # JSON
    """The value of a script in which time passes by `await advance(ms)`, and as fast as it can."""
    await page.clock.install(time=0)
    body = f"""
        const part = await import('/focus-client/{module}.js');
        const advance = (ms) => new Promise((done) => setTimeout(done, ms));
        {script}
    """
    start = f"(async () => {{ {body} }})().then((told) => (window.told = [told]));"
    await page.evaluate(f"() => {{ window.told = null; {start} }}")
    while (told := await page.evaluate("window.told")) is None:
        await page.clock.run_for(5_000)
    return told[0]


async def wishes(page: Page, steps: str) -> list[dict[str, Any]]:
    """What is said to the focus in the course of some steps."""
    script = f"""
        const said = [];
        let isOpen = true;
        const subscriptions = new part.Subscriptions((content) => isOpen && Boolean(said.push(content)));
        const video = (height, {{ isPinned = false, isVisible = true }} = {{}}) =>
            ({{ streamId: "S", trackId: "V", tile: {{ width: height * 2, height, isPinned, isVisible }} }});
        const audio = {{ streamId: "S", trackId: "A", tile: null }};
        {steps}
        return said;
    """
    return list(await on_clock(page, "subscriptions", script))


VIDEO = {"stream_id": "S", "track_id": "V"}
AUDIO = {"stream_id": "S", "track_id": "A"}


def sized(height: int) -> dict[str, Any]:
    return VIDEO | {"width": height * 2, "height": height}


async def test_new_wishes_are_told_at_once_and_together(page: Page) -> None:
    said = await wishes(
        page, "subscriptions.want([audio]); subscriptions.want([audio, video(90)]); await null;"
    )
    assert said == [{"subscribe": [AUDIO, sized(90)], "unsubscribe": []}]


async def test_sizes_are_told_when_they_have_settled_and_alone(page: Page) -> None:
    steps = """
        subscriptions.want([audio, video(90)]);
        await null;
        for (const height of [100, 120, 180]) subscriptions.want([audio, video(height)]);
        await advance(100);
        said.push("later");
        await advance(200);
    """
    told = [{"subscribe": [AUDIO, sized(90)], "unsubscribe": []}, "later"]
    assert await wishes(page, steps) == [*told, {"subscribe": [sized(180)], "unsubscribe": []}]


async def test_a_pin_is_told_when_it_has_settled_and_so_is_its_end(page: Page) -> None:
    steps = """
        subscriptions.want([video(90)]);
        await null;
        subscriptions.want([video(90, { isPinned: true })]);
        await null;
        said.push("later");
        subscriptions.want([video(180, { isPinned: true })]);
        await advance(300);
        subscriptions.want([video(180)]);
        await advance(300);
    """
    assert (await wishes(page, steps))[1:] == [
        "later",
        {"subscribe": [sized(180) | {"pinned": True}], "unsubscribe": []},
        {"subscribe": [sized(180)], "unsubscribe": []},
    ]


async def test_what_goes_out_of_sight_is_told_in_time_and_what_comes_into_sight_at_once(page: Page) -> None:
    steps = """
        subscriptions.want([audio, video(90)]);
        await null;
        subscriptions.want([audio, video(90, { isVisible: false })]);
        await null;
        said.push("later");
        await advance(300);
        subscriptions.want([audio, video(90)]);
        await null;
        said.push("at once");
        subscriptions.want([audio, video(90, { isVisible: false })]);
        subscriptions.want([audio, video(90)]);
        await advance(300);
    """
    assert (await wishes(page, steps))[1:] == [
        "later",
        {"subscribe": [sized(90) | {"visible": False}], "unsubscribe": []},
        {"subscribe": [sized(90)], "unsubscribe": []},
        "at once",
    ]


async def test_a_wish_that_ends_is_told_and_one_that_is_repeated_is_not(page: Page) -> None:
    steps = """
        subscriptions.want([audio, video(90)]);
        await null;
        subscriptions.want([audio]);
        await advance(300);
        subscriptions.want([audio]);
        await advance(300);
    """
    assert (await wishes(page, steps))[1:] == [{"subscribe": [], "unsubscribe": [VIDEO]}]


async def test_what_could_not_be_told_is_told_when_it_can(page: Page) -> None:
    steps = """
        isOpen = false;
        subscriptions.want([audio]);
        await advance(300);
        isOpen = true;
        subscriptions.restart();
        subscriptions.restart();
    """
    whole = {"subscribe": [AUDIO], "unsubscribe": []}
    assert await wishes(page, steps) == [whole, whole]


def device(**changes: Any) -> dict[str, Any]:  # noqa: ANN401  # fields of an entry
    """An entry that counts, but for its changes."""
    return {"device_id": "D", "session_id": "S", "expires_ts": NOW + 1, "feeds": []} | changes


def entry(*devices: Any, user: str = "@a:x", conf: str = CONF, **changes: Any) -> dict[str, Any]:  # noqa: ANN401  # JSON
    content = {"m.calls": [{"m.call_id": conf, "m.devices": list(devices)}]}
    return {"state_key": user, "sender": user, "content": content} | changes


@pytest.mark.parametrize(
    ("event", "count"),
    [
        (entry(device()), 1),
        (entry(device(), device(device_id="E")), 2),
        (entry(device(expires_ts=NOW)), 0),
        (entry(device(expires_ts=str(NOW + 1))), 0),
        (entry(device(session_id=None)), 0),
        (entry(device(device_id=7)), 0),
        (entry(device(feeds=None)), 0),
        (entry(device(), conf="another"), 0),
        (entry(device(), sender="@b:x"), 0),
        (entry(device(), user="@out:x"), 0),
        (entry(device(), user="@unknown:x"), 1),
        (entry(None, "text", device()), 1),
        (entry(device(), content={"m.calls": {}}), 0),
        (entry(device(), content={}), 0),
    ],
)
async def test_only_valid_entries_of_joined_users_count_as_members(
    page: Page, event: dict[str, Any], count: int
) -> None:
    memberships = {"@a:x": "join", "@out:x": "leave"}
    script = f"""
        const memberships = new Map(Object.entries({json.dumps(memberships)})
            .map(([user, membership]) => [user, {{ content: {{ membership }} }}]));
        return part.liveDevices([{json.dumps(event)}], memberships, "{CONF}", {NOW}).length;
    """
    assert await run(page, "room", script) == count


async def with_entry(page: Page, calls: Any, entry: Any) -> Any:  # noqa: ANN401  # JSON
    given = f'{json.dumps(calls)}, "{CONF}", "D", {json.dumps(entry)}, {NOW}'
    return await run(page, "room", f"return part.withEntry({given});")


async def test_own_entry_replaces_the_one_before_and_keeps_other_devices(page: Page) -> None:
    other, expired = device(device_id="E"), device(device_id="F", expires_ts=NOW - 1)
    calls = [{"m.call_id": CONF, "m.devices": [device(session_id="old"), other, expired]}]
    (call,) = await with_entry(page, calls, {"device_id": "D", "session_id": "new"})
    assert call["m.devices"][0] == other
    assert call["m.devices"][1:] == [{"device_id": "D", "session_id": "new", "expires_ts": NOW + 3_600_000}]


async def test_leaving_keeps_other_devices_and_leaves_no_empty_call(page: Page) -> None:
    both = [{"m.call_id": CONF, "m.devices": [device(), device(device_id="E")]}]
    assert await with_entry(page, both, None) == [{"m.call_id": CONF, "m.devices": [device(device_id="E")]}]
    assert await with_entry(page, [{"m.call_id": CONF, "m.devices": [device()]}], None) == []
    assert await with_entry(page, None, None) == []


async def test_dtx_is_asked_for_opus_alone_and_once(page: Page) -> None:
    sdp = "\r\n".join(
        [
            "a=rtpmap:111 opus/48000/2",
            "a=fmtp:111 minptime=10;useinbandfec=1",
            "a=rtpmap:63 red/48000/2",
            "a=fmtp:63 111/111",
            "",
        ]
    )
    once = await run(page, "sdp", f"return part.withOpusDtx({json.dumps(sdp)});")
    assert once == sdp.replace("useinbandfec=1", "useinbandfec=1;usedtx=1")
    assert await run(page, "sdp", f"return part.withOpusDtx({json.dumps(once)});") == once


@pytest.mark.parametrize(
    ("one", "other", "older"),
    [
        ("o=- 7 2 IN IP4 127.0.0.1", "o=- 7 3 IN IP4 127.0.0.1", True),
        ("o=- 7 3 IN IP4 127.0.0.1", "o=- 7 3 IN IP4 127.0.0.1", False),
        ("o=- 7 10 IN IP4 127.0.0.1", "o=- 7 9 IN IP4 127.0.0.1", False),
        ("o=- 7 9223372036854775806 IN IP4 0.0.0.0", "o=- 7 9223372036854775807 IN IP4 0.0.0.0", True),
        ("o=- 7 2 IN IP4 127.0.0.1", "o=- 8 3 IN IP4 127.0.0.1", False),
        ("o=- 7 2 IN IP4 127.0.0.1", "", False),
        ("o=nonsense", "o=- 7 3 IN IP4 127.0.0.1", False),
    ],
)
async def test_descriptions_of_one_session_have_an_order(
    page: Page, one: str, other: str, *, older: bool
) -> None:
    first, second = (json.dumps(f"v=0\r\n{line}\r\ns=-\r\n") for line in (one, other))
    assert await run(page, "sdp", f"return part.isOlder({first}, {second});") is older


async def test_a_stream_stays_the_same_object_while_what_is_said_of_it_changes(page: Page) -> None:
    script = """
        const streams = new part.RemoteStreams();
        const say = (more, track) => streams.describe({ S: { ...more, tracks: { V: track } } });
        say({}, { kind: "video", width: 1280, height: 720 });
        const [stream, media] = [streams.byId.get("S"), streams.byId.get("S").media];
        say({ video_muted: true }, {});
        const kept = streams.byId.get("S");
        const { kind, width, height } = kept.tracks.get("V");
        const isSame = [kept === stream, kept.media === media, kept.videoMuted];
        streams.describe({ T: { purpose: "m.other" } });
        return [isSame, [kind, width, height], streams.byId.size];
    """
    assert await run(page, "streams", script) == [[True, True, True], ["video", 1280, 720], 0]


async def dials(page: Page, ends: list[dict[str, Any]], foci: str = "AB", more: str = "") -> dict[str, Any]:
    """Whom somebody dials whose legs end so, one after the other; then they leave.

    Args:
        page: any.
        ends: of each leg; one without `wasOpen` was never up.
        foci: known, best first.
        more: changes the room, or what happens in a leg.
    """
    script = f"""
        const ends = {json.dumps(ends)};
        const told = {{ dialled: [], advice: [], failure: null }};
        const stop = new AbortController();
        const room = {{
            bring: async () => null,
            announce: async () => {{}},
            adviceOnAnnouncing: () => "ask",
        }};
        let onLeg = () => {{}};
        {more}
        const dialler = new part.Dialler({{
            room,
            foci: [...{json.dumps(foci)}].map((name) => ({{ user_id: name, device_id: name }})),
            openLeg: (focus) => {{
                const leg = {{ dial: () => told.dialled.push(focus.user_id), hangUp() {{}}, ended: null }};
                const end = {{ by: "reject", reason: "bad_offer", wasOpen: false, ...ends.shift() }};
                leg.ended = advance(10).then(() => onLeg(dialler, told)).then(() => end);
                if (ends.length === 0) stop.abort();
                return leg;
            }},
            onAdvice: (text) => told.advice.push(text),
            signal: stop.signal,
        }});
        await dialler.run().catch((error) => (told.failure = error.code));
        return told;
    """
    return dict(await on_clock(page, "dialler", script))


NEVER: dict[str, Any] = {"reason": "user_hangup", "by": "us"}


async def test_the_next_focus_is_dialled_when_one_rejects(page: Page) -> None:
    told = await dials(page, [{"reason": "too_many_calls"}, NEVER])
    assert told["dialled"] == ["A", "B"]


async def test_who_is_rejected_by_every_focus_is_told_why(page: Page) -> None:
    told = await dials(page, [{"reason": "too_many_calls"}, {"reason": "shutting_down"}, NEVER])
    assert (told["dialled"], told["failure"]) == (["A", "B"], "shutting_down")


async def test_a_focus_that_does_not_know_the_call_yet_is_dialled_again(page: Page) -> None:
    told = await dials(page, [{"reason": "not_in_call"}, {"reason": "not_in_call"}, NEVER])
    assert (told["dialled"], told["advice"]) == (["A", "A", "A"], [])


async def test_a_leg_that_is_hung_up_before_it_was_up_is_dialled_again(page: Page) -> None:
    told = await dials(page, [{"by": "hangup", "reason": "user_hangup"}, NEVER])
    assert told["dialled"] == ["A", "A"]


async def test_a_focus_that_never_comes_is_given_up_with_advice(page: Page) -> None:
    told = await dials(page, [{"reason": "not_in_call"}] * 50, foci="A")
    assert 4 <= len(told["dialled"]) <= 8
    assert told["failure"] == "not_in_call"
    assert "invite" in told["advice"][0]


async def test_who_was_in_the_call_dials_until_there_is_an_answer(page: Page) -> None:
    unanswered = {"by": "us", "reason": "invite_timeout"}
    told = await dials(page, [{"wasOpen": True, "by": "hangup"}, *[unanswered] * 12, NEVER])
    assert told["dialled"] == ["A", *"AB" * 6, "A"]
    assert told["failure"] is None


async def test_a_focus_that_goes_away_is_left_for_the_one_that_it_names(page: Page) -> None:
    more = """
        const names = [{ user_id: "C", device_id: "C" }];
        onLeg = (dialler, { dialled }) => dialled.length === 1 && dialler.moveAway(names);
    """
    told = await dials(page, [{"wasOpen": True, "by": "us"}, {}, {}, NEVER], more=more)
    assert told["dialled"] == ["A", "C", "B", "A"]


async def ice(page: Page, steps: str) -> list[str]:
    """What is done about the states of ICE: restart or give up, with the time in ms."""
    script = f"""
        const done = [];
        const begun = Date.now();
        const note = (what) => done.push(`${{what}} ${{Math.round((Date.now() - begun) / 100) * 100}}`);
        const pc = Object.assign(new EventTarget(), {{ iceConnectionState: "new" }});
        const become = (state) => {{
            pc.iceConnectionState = state;
            pc.dispatchEvent(new Event("iceconnectionstatechange"));
        }};
        const gather = (candidate) =>
            pc.dispatchEvent(Object.assign(new Event("icecandidate"), {{ candidate }}));
        const hooks = {{
            send: (candidates) => note(`send ${{candidates.map(({{ candidate }}) => candidate || "end")}}`),
            onChange() {{}},
            restart: () => note("restart"),
            giveUp: () => note("give up"),
        }};
        const stop = new AbortController();
        new part.IceWatch(pc, hooks, stop.signal);
        {steps}
        await advance(20000);
        return done;
    """
    return list(await on_clock(page, "ice", script))


async def test_a_path_that_stutters_is_left_alone(page: Page) -> None:
    steps = 'become("connected"); become("disconnected"); await advance(1000); become("connected");'
    assert await ice(page, steps) == []


async def test_a_path_that_is_gone_is_looked_for_once_and_then_given_up(page: Page) -> None:
    assert await ice(page, 'become("disconnected");') == ["restart 2000", "give up 10000"]
    assert await ice(page, 'become("failed"); become("checking");') == ["restart 0", "give up 8000"]


async def test_a_path_that_was_found_again_may_be_lost_again(page: Page) -> None:
    steps = (
        'become("failed"); await advance(1000); become("connected"); become("failed"); become("connected");'
    )
    assert await ice(page, steps) == ["restart 0", "restart 1000"]


async def test_candidates_are_told_together_and_their_end_at_once(page: Page) -> None:
    steps = """
        const candidate = (name) => ({ candidate: name, toJSON: () => ({ candidate: name }) });
        for (const name of ["a", "b", ""]) gather(candidate(name));
        await advance(1000);
        gather(candidate("c"));
        gather(null);
    """
    assert await ice(page, steps) == ["send a,b 200", "send c,end 1000"]


async def test_nothing_is_done_about_ice_once_a_leg_is_over(page: Page) -> None:
    assert await ice(page, 'become("disconnected"); stop.abort();') == []
