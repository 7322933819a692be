from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.client.accounts import AccountsError, Credentials, parse_accounts


def test_an_account_is_a_user_and_the_rest_of_the_line() -> None:
    text = "# the team\n@alice:here  correct horse \n\n   bob pass#word\n"
    assert parse_accounts(text) == [
        Credentials("@alice:here", "correct horse"),
        Credentials("bob", "pass#word"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [("@alice:here", "line 1: not USER PASSWORD"), ("a b\n\na c", "line 3: a stands there twice")],
)
def test_a_line_that_is_wrong_is_named(text: str, said: str) -> None:
    with pytest.raises(AccountsError, match=said):
        parse_accounts(text)


@given(st.text())
def test_any_text_is_accounts_or_an_error(text: str) -> None:
    try:
        found = parse_accounts(text)
    except AccountsError:
        return
    assert all(credentials.user and credentials.password for credentials in found)


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(Credentials("alice", "secret"))
