"""The same calls on both planes give the same bytes and counters."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sfu.plane import AddTransport, RemoveTransport
from sfu.units import TransportId
from tests.differential.chacha import NativeRandom, chacha12_block
from tests.differential.fuzzing import Tally, fuzz, shortened
from tests.differential.pair import Divergence, Pair
from tests.differential.stage import Stage
from tests.differential.tape import STEP_BYTES, Tape

if TYPE_CHECKING:
    from sfu.dataplane.wire import Transmit

EXAMPLES = 60


def test_both_planes_say_the_same_in_calls_of_any_kind() -> None:
    tally = Tally()
    fuzz(tally, EXAMPLES)
    assert tally.inputs > 100 * EXAMPLES
    assert tally.sent > tally.inputs / 4
    assert 0 < tally.apart < tally.encrypted < tally.calls


@pytest.mark.parametrize("seed", range(8))
def test_both_planes_say_the_same_in_long_calls(seed: int) -> None:
    chance = random.Random(seed)
    Tally().play(chance.randbytes(STEP_BYTES), [chance.randbytes(STEP_BYTES) for _ in range(250)])


def test_both_planes_say_the_same_in_a_call_of_real_clients() -> None:
    tally = Tally()
    tally.replay()
    assert tally.sent > 300


@pytest.mark.parametrize("seed", range(6))
def test_both_planes_say_the_same_of_what_is_left_of_a_call_of_real_clients(seed: int) -> None:
    Tally().replay(random.Random(seed).randbytes(2_000))


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_difference_is_told_with_what_led_to_it(encrypted: bool) -> None:
    pair = Pair(encrypted=encrypted)
    stage = Stage(pair, Tape(bytes(STEP_BYTES)))
    pair._twin.apply(pair.now, [RemoveTransport(stage.peers[0].transport)])
    with pytest.raises(Divergence, match=r"AddTransport[\s\S]+transports"):
        pair.settle()


def test_a_call_is_shortened_to_what_makes_the_planes_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    played = Tally.play

    def differ(tally: Tally, head: bytes, call: list[bytes]) -> None:
        played(tally, head, call)
        if {b"1" * STEP_BYTES, b"2" * STEP_BYTES} <= set(call):
            raise Divergence

    monkeypatch.setattr(Tally, "play", differ)
    call = [bytes((number,)) * STEP_BYTES for number in b"0901934256"]
    assert shortened(bytes(STEP_BYTES), call) == [b"1" * STEP_BYTES, b"2" * STEP_BYTES]


def test_bytes_that_differ_are_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = Pair(encrypted=False)
    stage = Stage(pair, Tape(bytes(STEP_BYTES)))
    answer = pair._twin.handle_datagram

    def wrong(*args: object) -> list[Transmit]:
        (sent,) = answer(*args)  # type: ignore[arg-type]
        return [replace(sent, data=sent.data[:-1] + b"?")]

    monkeypatch.setattr(pair._twin, "handle_datagram", wrong)
    with pytest.raises(Divergence, match="what is sent"):
        stage.peers[0].check(nominate=True)


def test_operations_are_refused_by_both() -> None:
    pair = Pair(encrypted=False)
    stage = Stage(pair, Tape(bytes(STEP_BYTES)))
    assert pair.apply(AddTransport(TransportId(1), stage.peers[0].credentials)) == []


def test_the_stream_of_random_numbers_is_chacha12() -> None:
    # draft-strombergson-chacha-test-vectors-01, TC1 with 256 bits and 12 rounds, block 0.
    block = b"".join(word.to_bytes(4, "little") for word in chacha12_block(bytes(32), 0))
    assert block.hex().startswith("9bf49a6a0755f953811fce125f2683d5")
    words = chacha12_block(bytes(32), 0)
    chance = NativeRandom(bytes(32))
    assert chance.getrandbits(64) == words[0] << 32 | words[1]
    assert chance.randrange(2**15) == words[2] % 2**15
