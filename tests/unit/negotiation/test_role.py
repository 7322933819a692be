from __future__ import annotations

from dataclasses import replace

import pytest

from sfu.errors import RemoteError
from sfu.negotiation.role import Role
from tests.unit.negotiation.texts import CHROMIUM, remote


@pytest.mark.parametrize(
    ("role", "is_lite", "is_answer", "setup", "reason"),
    [
        (Role.CALLEE, False, False, "actpass", None),
        (Role.CALLEE, False, False, "active", None),
        (Role.CALLEE, False, False, "", None),
        (Role.CALLEE, False, False, "passive", "setup"),
        (Role.CALLEE, True, False, "actpass", "lite"),
        (Role.CALLEE, False, True, "active", None),
        (Role.CALLEE, True, True, "active", "lite"),
        (Role.CALLER, True, True, "passive", None),
        (Role.CALLER, True, True, "active", "setup"),
        (Role.CALLER, True, True, "actpass", "setup"),
        (Role.CALLER, True, True, "", "setup"),
        (Role.CALLER, False, True, "passive", "lite"),
        (Role.CALLER, True, False, "actpass", None),
        (Role.CALLER, True, False, "passive", None),
        (Role.CALLER, True, False, "active", "setup"),
        (Role.CALLER, False, False, "actpass", "lite"),
    ],
)
def test_the_other_side_must_take_the_other_role(
    role: Role, is_lite: bool, is_answer: bool, setup: str, reason: str | None
) -> None:
    told = replace(remote(CHROMIUM), is_lite=is_lite, setup=setup)
    if reason is None:
        role.check(told, is_answer=is_answer)
        return
    with pytest.raises(RemoteError) as raised:
        role.check(told, is_answer=is_answer)
    assert raised.value.reason == reason


def test_what_both_ends_choose_freely_is_never_the_same() -> None:
    caller, callee = Role.CALLER, Role.CALLEE
    assert caller.mid_letter != callee.mid_letter
    assert (caller.setup, callee.setup) == ("active", "passive")
