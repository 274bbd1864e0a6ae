from __future__ import annotations

import asyncio
from itertools import pairwise
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis._parsers.base import BaseParser
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, ReadOnlyError, ResponseError

from cartsnitch_common.events.arrivals import Arrivals
from cartsnitch_common.events.names import ENTRY_FIELD

if TYPE_CHECKING:
    from collections.abc import Sequence

WORDS = st.binary(max_size=20) | st.just(b"\r\n$1\r\n")
IDS = st.builds(lambda *parts: b"%d-%d" % parts, st.integers(0, 2**64), st.integers(0, 9))
FIELDS = st.builds(lambda data: {ENTRY_FIELD: data}, WORDS) | st.dictionaries(
    WORDS, WORDS, max_size=3
)
STREAMS = st.lists(st.tuples(WORDS, st.lists(st.tuples(IDS, FIELDS), max_size=4)), max_size=3)


def word(text: bytes) -> bytes:
    """A word as Redis writes it."""
    return b"$%d\r\n%b\r\n" % (len(text), text)


def array(*parts: bytes) -> bytes:
    """An array as Redis writes it."""
    return b"*%d\r\n" % len(parts) + b"".join(parts)


def answer_of(sent: bytes, cuts: Sequence[int] = ()) -> Arrivals:
    """An answer that arrives in pieces, after which the server hangs up."""

    class Reader:
        async def read(self, _size: int) -> bytes:
            await asyncio.sleep(0)
            return waiting.pop(0) if waiting else b""

    places = [0, *sorted(cut % (len(sent) + 1) for cut in cuts), len(sent)]
    waiting = [sent[a:b] for a, b in pairwise(places) if a < b]
    parser = SimpleNamespace(parse_error=BaseParser.parse_error)
    connection: Any = SimpleNamespace(_reader=Reader(), _parser=parser)
    return Arrivals(connection)


@given(STREAMS, st.lists(st.integers(0, 2000), max_size=5))
def test_entries_are_the_same_wherever_the_network_cuts_them(
    streams: list[tuple[bytes, list[tuple[bytes, dict[bytes, bytes]]]]], cuts: list[int]
) -> None:
    """Entries of any fields are read whole, those of one envelope and all others."""
    sent = array(
        *(
            array(
                word(name),
                array(
                    *(
                        array(
                            word(entry_id),
                            array(*(word(x) for pair in fields.items() for x in pair)),
                        )
                        for entry_id, fields in entries
                    )
                ),
            )
            for name, entries in streams
        )
    )
    answer = answer_of(sent, cuts)
    found = asyncio.run(answer.arrivals())
    answer.require_end()
    assert found == [
        (name, entry_id, fields) for name, entries in streams for entry_id, fields in entries
    ]


async def test_nothing_new_is_no_entry() -> None:
    """When the wait is over Redis says nil."""
    answer = answer_of(b"*-1\r\n")
    assert await answer.arrivals() == []
    answer.require_end()


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (b"-NOGROUP No such key\r\n", ResponseError),
        (b"-READONLY You can't write against a read only replica.\r\n", ReadOnlyError),
        (b"+OK\r\n", InvalidResponse),
        (b"*1\r\n*2\r\n$1\r\ns\r\n*1\r\n+1-0\r\n", InvalidResponse),
        (
            b"*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\ne\r\n$9\r\nab",
            RedisConnectionError,
        ),
        (b"", RedisConnectionError),
    ],
)
async def test_what_is_no_answer_is_an_error(sent: bytes, error: type[Exception]) -> None:
    """An answer that is refused, strange or broken off gives no entries."""
    with pytest.raises(error):
        await answer_of(sent).arrivals()


async def test_what_nobody_asked_for_is_an_error() -> None:
    """A connection on which more comes than was asked for is used no more."""
    answer = answer_of(b"*-1\r\n:1\r\n")
    assert await answer.arrivals() == []
    with pytest.raises(InvalidResponse):
        answer.require_end()
