from __future__ import annotations

from sfu.negotiation.exchange import Answered, Pending, Repeatable
from sfu.units import Instant

ANSWER = "v=0\r\no=- 7 1 IN IP4 127.0.0.1\r\ns=-\r\n"
AGAIN = ANSWER.replace("7 1", "7 2")


def test_an_offer_that_is_repeated_counts_its_tries_and_is_the_same() -> None:
    pending = Pending("offer", (), Instant(5))
    assert pending.tries == 1
    assert pending.repeated(Instant(9)) == Pending("offer", (), Instant(9), 2)


def test_an_answer_comes_again_as_often_as_its_offer_did_whatever_its_version() -> None:
    repeatable = Repeatable.of(ANSWER, 2)
    for _ in range(2):
        assert repeatable.is_repeated_by(AGAIN)
        assert not repeatable.is_repeated_by(AGAIN + "a=x\r\n")
        repeatable = repeatable.once_less()
    assert not repeatable.is_repeated_by(AGAIN)


def test_an_answer_that_can_not_come_again_is_not_kept() -> None:
    assert Repeatable.of(ANSWER, 0) == Repeatable()
    assert not Repeatable().is_repeated_by("")


def test_no_description_is_shown() -> None:
    assert "secret" not in repr(
        [Pending("secret", (), Instant(0)), Answered("secret", "secret"), Repeatable("secret", 1)]
    )
