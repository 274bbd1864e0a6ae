from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, OutOfMemoryError, ReadOnlyError, ResponseError

from cartsnitch_common.embedded.ports import LOOPBACK
from cartsnitch_common.events.resp import AnswerLostError, Replies, _exchange, pack

OOM = b"-OOM command not allowed when used memory > 'maxmemory'.\r\n"
READ_ONLY = b"-READONLY You can't write against a read only replica.\r\n"


def replies_of(*chunks: bytes) -> Replies:
    """The replies that arrive in these pieces, after which the server hangs up."""
    from redis._parsers.base import BaseParser  # noqa: PLC0415 - as a connection has it

    class Reader:
        async def read(self, _size: int) -> bytes:
            await asyncio.sleep(0)
            return waiting.pop(0) if waiting else b""

    waiting = [chunk for chunk in chunks if chunk]
    parser = SimpleNamespace(parse_error=BaseParser.parse_error)
    return Replies(SimpleNamespace(_reader=Reader(), _parser=parser))


def test_a_command_is_packed_by_the_length_of_its_words() -> None:
    """What is in a word cannot end it: neither line ends nor nothing at all."""
    assert pack(b"PUBLISH", b"a\r\nb", b"") == (
        b"*3\r\n$7\r\nPUBLISH\r\n$4\r\na\r\nb\r\n$0\r\n\r\n"
    )


async def test_replies_are_the_same_wherever_the_network_cuts_them() -> None:
    """Each kind of reply is read whole, and each error is the one of its command."""
    sent = b":3\r\n$7\r\n1-\r\n-00\r\n$-1\r\n" + OOM + b"+OK\r\n" + READ_ONLY
    for place in range(len(sent) + 1):
        replies = replies_of(sent[:place], sent[place:])
        found = await replies.read(6)
        replies.require_end()
        kinds = [type(error) for error in found]
        nothing = type(None)
        assert kinds == [nothing, nothing, nothing, OutOfMemoryError, nothing, ReadOnlyError]
        assert replies.read_only


async def test_a_transaction_tells_of_each_command() -> None:
    """What fails while it runs is told apart from what keeps it from running."""
    queued = b"+OK\r\n+QUEUED\r\n+QUEUED\r\n"
    wrong = b"-WRONGTYPE not a stream\r\n"
    first, second = await _outcome(queued + b"*2\r\n" + wrong + b":0\r\n")
    assert isinstance(first, ResponseError)
    assert second is None
    aborted = await _outcome(b"+OK\r\n" + OOM + b"+QUEUED\r\n-EXECABORT aborted\r\n")
    assert isinstance(aborted, OutOfMemoryError)


async def _outcome(sent: bytes):
    replies = replies_of(sent)
    outcome = await replies.transaction(2)
    replies.require_end()
    return outcome


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (b":1\r\n", RedisConnectionError),  # and no more
        (b":1\r\n:2\r", RedisConnectionError),
        (b":1\r\n$5\r\nab", RedisConnectionError),
        (b":1\r\n:2\r\n:3\r\n", InvalidResponse),
        (b":1\r\nhello\r\n", InvalidResponse),
        (b":1\r\n*1\r\n:1\r\n", InvalidResponse),
    ],
)
async def test_what_is_not_an_answer_to_each_command_is_an_error(
    sent: bytes, error: type[Exception]
) -> None:
    """Fewer replies, more or others than were asked for are never taken for success."""
    replies = replies_of(sent)
    with pytest.raises(error):  # noqa: PT012 - reading may fail, or looking at the end
        await replies.read(2)
        replies.require_end()


async def test_on_a_connection_that_breaks_nothing_more_is_packed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The answer is lost, and asyncio has no reason to log each piece that goes nowhere."""

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def disconnect(*, nowait: bool) -> None:
        assert nowait
        writer.close()

    taken = []

    def pieces() -> Iterator[bytes]:
        for number in range(100):
            if number == 3:
                writer.transport.abort()  # as it does itself when the socket refuses a write
            taken.append(number)
            yield b"x"

    async with await asyncio.start_server(hold, LOOPBACK, 0) as server:
        address = server.sockets[0].getsockname()
        reader, writer = await asyncio.open_connection(*address)
        parser = SimpleNamespace(parse_error=None)
        connection = SimpleNamespace(
            _reader=reader, _writer=writer, _parser=parser, socket_timeout=5, disconnect=disconnect
        )
        with caplog.at_level(logging.WARNING), pytest.raises(AnswerLostError):
            await _exchange(connection, pieces(), lambda replies: replies.read(100))
    assert taken == [0, 1, 2, 3]
    assert not caplog.records
