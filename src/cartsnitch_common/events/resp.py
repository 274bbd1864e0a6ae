"""Commands for Redis packed by hand and sent at once, with every reply looked at.

redis-py makes an object of each reply, which costs more than to send its command.
Here a reply is skipped unless it is an error.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, ReadOnlyError, RedisError

from cartsnitch_common.events.leases import give, take
from cartsnitch_common.events.limits import limits_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from redis.asyncio import Redis

_CHUNK: Final = 256 * 1024
END: Final = b"\r\n"
_RUN: Final = re.compile(rb"(?:[+:][^\r]*\r\n)+")
_ONE_LINE: Final = b"+:"
_TEXT, _ERROR = b"$-"


class AnswerLostError(RedisConnectionError):
    """the commands were sent, and the connection broke before every reply was read."""


def pack(*words: bytes, more: int = 0) -> bytes:
    """A command as Redis reads it.

    Args:
        *words: Its name and its arguments.
        more: How many words follow that are not packed yet; see ``pack_word``.
    """
    return b"*%d\r\n" % (len(words) + more) + b"".join(map(pack_word, words))


def pack_word(word: bytes) -> bytes:
    """One word of a command, for those whose beginning is packed already."""
    return b"$%d\r\n%b\r\n" % (len(word), word)


async def exchange[T](
    redis: Redis, commands: Iterable[bytes], read: Callable[[Replies], Awaitable[T]]
) -> T:
    """Send packed commands, and read the replies.

    Args:
        redis: A client of one server, from ``async_redis``.
        commands: The commands, packed, in pieces that are each worth a write; the server
            must take them and answer well within the socket's timeout.
        read: Reads the replies, all of them, and awaits nothing else.

    Raises:
        RedisError: No connection could be had; nothing was sent.
        AnswerLostError: The connection broke; nobody knows which commands were run.
    """
    connection = await take(redis)
    try:
        return await _exchange(connection, commands, read)
    finally:
        await give(redis, connection)


async def _exchange[T](
    connection: Any, commands: Iterable[bytes], read: Callable[[Replies], Awaitable[T]]
) -> T:
    writer: asyncio.StreamWriter = connection._writer  # noqa: SLF001 - as the reader
    transport = writer.transport
    limits = limits_of(asyncio.get_running_loop())
    try:
        for piece in commands:
            if transport.is_closing():  # which asyncio would log for each piece
                break
            writer.write(piece)  # which waits for nothing
        # What follows is done while the server works.
        limits.begin(transport, connection.socket_timeout)
        replies = Replies(connection)
        if transport.get_write_buffer_size():
            await writer.drain()
        found = await read(replies)
        replies.require_end()
        if replies.read_only:
            await connection.disconnect()  # the next connection asks where the master is
    except BaseException as error:
        is_late = limits.end(transport)
        await connection.disconnect(nowait=True)  # what comes on it now is of no use
        if isinstance(error, (RedisError, OSError)):
            cause = TimeoutError() if is_late else error
            raise AnswerLostError("connection lost before the answer") from cause
        raise
    limits.end(transport)
    return found


class Answer:
    """The bytes of an answer, on a connection that nobody else reads from meanwhile."""

    def __init__(self, connection: Any) -> None:
        """Begin with nothing."""
        # Neither is public; the parser's own way costs an object and five awaits a reply.
        self._reader: asyncio.StreamReader = connection._reader  # noqa: SLF001
        self._error = connection._parser.parse_error  # noqa: SLF001
        self._buffer = bytearray()
        self._at = 0

    def require_end(self) -> None:
        """Make sure that nothing was sent beyond what was read.

        Raises:
            InvalidResponse: The server answers to something else than what was asked.
        """
        if self._at != len(self._buffer):
            raise InvalidResponse("protocol error")

    async def _more(self) -> None:
        chunk = await self._reader.read(_CHUNK)
        if not chunk:
            raise RedisConnectionError("connection closed by the server")
        self._buffer += chunk


class Replies(Answer):
    """Replies of which only errors matter.

    Attributes:
        read_only: Whether one of them was that the server takes no writes.
    """

    def __init__(self, connection: Any) -> None:
        super().__init__(connection)
        self.read_only = False

    async def read(self, count: int) -> list[RedisError | None]:
        """The next replies: None, or the error that a reply is."""
        found: list[RedisError | None] = []
        buffer, at = self._buffer, self._at
        while len(found) < count:
            end = buffer.find(END, at)
            if end < 0:
                await self._more()
                if count > 1 and (run := _RUN.match(buffer, at)):  # cheaper than one by one
                    lines = buffer.count(END, at, run.end())
                    if lines <= count - len(found):
                        found += [None] * lines
                        at = self._at = run.end()
                continue
            kind = buffer[at]
            if kind in _ONE_LINE:
                found.append(None)
            elif kind == _TEXT:
                if (size := int(buffer[at + 1 : end])) >= 0:  # or it is a nil
                    text_end = end + len(END) + size
                    while len(buffer) < text_end + len(END):
                        await self._more()
                    end = text_end
                found.append(None)
            elif kind == _ERROR:
                found.append(self._refusal(buffer[at + 1 : end]))
            else:
                raise InvalidResponse("protocol error")
            at = self._at = end + len(END)
        return found

    async def transaction(self, commands: int) -> list[RedisError | None] | RedisError:
        """The outcome of a MULTI, so many commands and an EXEC.

        Returns:
            An error or None for each command, or why none was run.
        """
        queued = await self.read(1 + commands)
        while (end := self._buffer.find(END, self._at)) < 0:
            await self._more()
        if self._buffer.startswith(b"*", self._at):
            self._at = end + len(END)
            return await self.read(commands)
        (aborted,) = await self.read(1)
        refused = next((error for error in queued if error is not None), aborted)
        if refused is None:
            raise InvalidResponse("protocol error")
        return refused

    def _refusal(self, text: bytearray) -> RedisError:
        error: RedisError = self._error(text.decode("utf-8", "replace"))
        self.read_only |= isinstance(error, ReadOnlyError)
        return error
