from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cartsnitch_common.events.names import OUTBOX_LOCKS, RELAY_LOCKS, key_lock


def test_a_keys_lock_never_changes() -> None:
    """Two versions in one deployment take the same lock, or keys lose their order."""
    assert key_lock("cartsnitch.prices.updated", "store-1") == (1129533250, -1527724876)
    assert RELAY_LOCKS == 1129534021


@given(st.text(), st.text())
def test_a_lock_fits_into_two_integers(event_type: str, key: str) -> None:
    """PostgreSQL's form of two numbers takes 32 bits each."""
    space, number = key_lock(event_type, key)
    assert space == OUTBOX_LOCKS < 2**31
    assert -(2**31) <= number < 2**31


def test_type_and_key_do_not_run_together() -> None:
    """("ab", "c") and ("a", "bc") are two locks."""
    assert key_lock("ab", "c") != key_lock("a", "bc")
