from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from cartsnitch_common.values import ids
from cartsnitch_common.values.ids import new_uuid, new_uuid_texts, parse_uuid


def test_ids_of_a_process_ascend() -> None:
    """Every new id is above the ones before, which is how receipt lines keep their order."""
    made = [new_uuid() for _ in range(20_000)]
    assert made == sorted(set(made))


def test_ids_made_as_texts_are_the_same_kind_of_ids() -> None:
    """Texts and objects come from one row of ascending ids, and a text is canonical."""
    # So many that the counter's digits behind the last hyphen begin anew.
    before, texts, after = new_uuid(), new_uuid_texts(70_000), new_uuid()
    made = [parse_uuid(text) for text in texts]
    assert [str(one) for one in made] == texts
    assert [before, *made, after] == sorted({before, *made, after})
    assert {(one.version, one.variant) for one in made} == {(7, "specified in RFC 4122")}
    assert new_uuid_texts(0) == []


def test_the_counter_of_texts_runs_over_every_group_of_digits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where each group of the counter's digits is full, the next text is still the next id."""
    for bits in (16, 30, 42):
        monkeypatch.setattr(ids, "_last", [(1 << 89) + (1 << bits) - 3])
        made = [uuid.UUID(text) for text in new_uuid_texts(5)]
        counters = [_counter(one) for one in made]
        assert counters == [(1 << 89) + (1 << bits) - 2 + step for step in range(5)]
        assert {(one.version, one.variant) for one in made} == {(7, "specified in RFC 4122")}


def _counter(one: uuid.UUID) -> int:
    """What an id says without its version, its variant and its digits by chance."""
    high, low = one.int >> 64, one.int >> 32 & (1 << 30) - 1
    return (high >> 16 << 12 | high & 0xFFF) << 30 | low


def test_ids_are_version_7_of_now() -> None:
    """An id is a UUIDv7: version, variant and the time in milliseconds."""
    before = time.time_ns() // 1_000_000
    made = new_uuid()
    after = time.time_ns() // 1_000_000
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert before <= made.int >> 80 <= after + 1


def test_ids_of_many_threads_are_distinct() -> None:
    """No id is made twice, whichever thread asks."""
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: new_uuid(), range(20_000)))
    assert len(set(made)) == len(made)


def test_order_survives_a_clock_that_stands_or_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock set back does not break the order."""
    first = new_uuid()
    monkeypatch.setattr(time, "time_ns", lambda: 1)
    assert first < new_uuid() < new_uuid()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "01990000-0000-7000-8000-00000000000A",
        "0199000000007000800000000000000a",
        "{01990000-0000-7000-8000-00000000000a}",
        "urn:uuid:01990000-0000-7000-8000-00000000000a",
        "not-an-id",
    ],
)
def test_only_the_canonical_form_is_an_id(text: str) -> None:
    """One id has one text; every other spelling is refused."""
    with pytest.raises(ValueError, match="canonical"):
        parse_uuid(text)
