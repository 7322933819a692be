"""Users and rooms of a real homeserver, for integration tests."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from loadtest.client.room import call_room
from loadtest.client.signalling import Account

if TYPE_CHECKING:
    from loadtest.homeserver.server import Homeserver
    from loadtest.homeserver.users import User

_numbers = itertools.count(1)


def new_user(homeserver: Homeserver, name: str = "user") -> User:
    """A user whom no other test knows; the homeserver is shared by all of them."""
    return homeserver.register(f"{name}-{next(_numbers)}")


def new_room(creator: User, *invited: User, **more: Any) -> str:  # noqa: ANN401  # keys of createRoom
    """A room that anybody may join and hold calls in; its id."""
    body = call_room("call", [user.user_id for user in invited]) | more
    return str(creator.post("/_matrix/client/v3/createRoom", body)["room_id"])


def join(user: User, room_id: str) -> None:
    """Join a room."""
    user.post(f"/_matrix/client/v3/join/{quote(room_id)}")


def room_path(room_id: str, rest: str) -> str:
    """The path of a request about a room."""
    return f"/_matrix/client/v3/rooms/{quote(room_id)}/{rest}"


def send_to_device(sender: User, receiver: User, event_type: str, content: dict[str, Any]) -> None:
    """Send one to-device message."""
    path = f"/_matrix/client/v3/sendToDevice/{quote(event_type)}/test-{next(_numbers)}"
    sender.put(path, {"messages": {receiver.user_id: {receiver.device_id: content}}})


def account(user: User) -> Account:
    """The user as a participant logs in."""
    return Account(user.base_url, user.user_id, user.device_id, user.access_token)
