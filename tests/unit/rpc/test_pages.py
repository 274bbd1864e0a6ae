"""Page tokens: bound to their question, and nothing else gets through."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cartsnitch.catalog.v1 import ListStoreLocationsRequest
from cartsnitch.purchase.v1 import ListPurchasesRequest
from cartsnitch.type.v1 import Date
from cartsnitch_common.contract import violations
from cartsnitch_common.errors import PageTokenError
from cartsnitch_common.rpc import from_page_token, page_size, to_page_token

ASK = ListPurchasesRequest(user_id="ada", from_date=Date(year=2026, month=3, day=1))
POSITION = ("2026-03-10", "0199a7c4-1f00-7000-8000-000000000001")


def with_token(token: str, ask: ListPurchasesRequest = ASK) -> ListPurchasesRequest:
    request = ListPurchasesRequest()
    request.CopyFrom(ask)
    request.page_token = token
    return request


@given(st.lists(st.text(max_size=40), max_size=4))
def test_a_position_survives_its_token(position: list[str]) -> None:
    """What a page ended with is where the next one begins, whatever its text."""
    token = to_page_token(ASK, tuple(position))
    assert from_page_token(with_token(token)) == tuple(position)


def test_a_token_keeps_the_contracts_rule() -> None:
    """A token of the longest keys that lists have is short enough to be sent back."""
    assert not violations(with_token(to_page_token(ASK, POSITION)))
    assert len(to_page_token(ASK, ("x" * 64, *POSITION))) <= 512


def test_the_first_page_has_no_position() -> None:
    """An empty token is the beginning."""
    assert from_page_token(ASK) is None


def test_the_size_of_the_page_may_change() -> None:
    """page_size is no part of the question; 0 means 50."""
    request = with_token(to_page_token(ASK, POSITION))
    request.page_size = 7
    assert from_page_token(request) == POSITION
    assert (page_size(request), page_size(ASK)) == (7, 50)
    assert to_page_token(request, POSITION) == to_page_token(ASK, POSITION)


def test_a_token_of_another_question_is_refused() -> None:
    """Other fields, or another method, and the token is none."""
    token = to_page_token(ASK, POSITION)
    with pytest.raises(PageTokenError):
        from_page_token(with_token(token, ListPurchasesRequest(user_id="bob")))
    with pytest.raises(PageTokenError):
        from_page_token(ListStoreLocationsRequest(store_id=POSITION[1], page_token=token))


def test_a_changed_token_is_refused() -> None:
    """No character of a token can be changed, left out or added."""
    token = to_page_token(ASK, POSITION)
    changed = [
        token[:i] + ("A" if token[i] != "A" else "B") + token[i + 1 :] for i in range(len(token))
    ]
    changed += [token[:-1], token[1:], token + "A", token + "=", token * 2, "é", " ", "AAAA"]
    for text in changed:
        with pytest.raises(PageTokenError):
            from_page_token(with_token(text))


@given(st.text(min_size=1, max_size=100))
def test_any_text_is_refused_and_nothing_else_happens(text: str) -> None:
    """A caller's invention is a PageTokenError."""
    with pytest.raises(PageTokenError):
        from_page_token(with_token(text))
