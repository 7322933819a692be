from __future__ import annotations

import pytest

from loadtest.run import local_addresses, parse_focus
from signalling.events.room_state import FocusDevice


def test_a_focus_is_a_user_and_a_device() -> None:
    assert parse_focus("@focus:example.org:8448/FOCUS") == FocusDevice("@focus:example.org:8448", "FOCUS")
    assert parse_focus("@a/b:example.org/D") == FocusDevice("@a/b:example.org", "D")


@pytest.mark.parametrize(
    "text", ["", "@focus:example.org", "@focus:example.org/", "focus:here/D", "@focus/D"]
)
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"such as @focus:example\.org/FOCUS"):
        parse_focus(text)


def test_to_a_server_on_loopback_only_loopback_leads() -> None:
    assert local_addresses("http://127.0.0.1:8008") == ("127.0.0.1",)
