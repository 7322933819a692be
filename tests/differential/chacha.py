"""The native plane's random numbers, for the twin: both draw the same then, and their bytes can be equal."""

from __future__ import annotations

import random
import struct
from functools import cache
from typing import Final

_CONSTANTS: Final = struct.unpack("<4I", b"expand 32-byte k")
_DOUBLE_ROUNDS: Final = 6
_BLOCK_WORDS: Final = 16
_COLUMNS: Final = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15))
_DIAGONALS: Final = ((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))


class NativeRandom(random.Random):
    """ChaCha12 (RFC 8439 with 12 rounds and a counter of 64 bits), asked as the twin asks.

    Args:
        key: the native plane's seed, 32 bytes.
    """

    def __init__(self, key: bytes) -> None:
        super().__init__(0)
        self._key = key
        self._position = 0

    def getrandbits(self, k: int) -> int:
        """Whole words, the first one in front."""
        value = 0
        for _ in range(k // 32):
            value = value << 32 | self._word()
        return value

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        """The lower bits of a word: the twin asks for powers of two only."""
        assert stop is None
        assert step == 1
        assert start & (start - 1) == 0
        return self._word() & (start - 1)

    def _word(self) -> int:
        block, index = divmod(self._position, _BLOCK_WORDS)
        self._position += 1
        return chacha12_block(self._key, block)[index]


@cache
def chacha12_block(key: bytes, counter: int) -> tuple[int, ...]:
    """One block of 16 words of the stream without a nonce."""
    start = [*_CONSTANTS, *struct.unpack("<8I", key), counter & 0xFFFF_FFFF, counter >> 32, 0, 0]
    state = list(start)
    for _ in range(_DOUBLE_ROUNDS):
        for quarter in _COLUMNS + _DIAGONALS:
            _quarter_round(state, *quarter)
    return tuple(one + other & 0xFFFF_FFFF for one, other in zip(state, start, strict=True))


def _quarter_round(state: list[int], a: int, b: int, c: int, d: int) -> None:
    for left, right, turned, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        state[left] = state[left] + state[right] & 0xFFFF_FFFF
        mixed = state[turned] ^ state[left]
        state[turned] = (mixed << bits | mixed >> 32 - bits) & 0xFFFF_FFFF
