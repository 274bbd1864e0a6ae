"""Commands for Redis packed by hand and sent in one write, with every reply looked at.

redis-py makes an object of each reply, which costs more than to send its command.
Here a reply is skipped unless it is an error.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, ReadOnlyError, RedisError

from cartsnitch_common.events.leases import connection_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

_CHUNK: Final = 64 * 1024
_END: Final = b"\r\n"


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


@asynccontextmanager
async def exchange(redis: Redis, commands: bytes) -> AsyncIterator[Replies]:
    """Send packed commands in one write, and read the replies in the block, all of them.

    Args:
        redis: A client of one server, from ``async_redis``.
        commands: The commands, packed; the server must take them well within the
            socket's timeout, which also bounds the block.

    Raises:
        RedisError: No connection could be had; nothing was sent.
        AnswerLostError: The connection broke; nobody knows which commands were run.
    """
    async with connection_of(redis) as connection:
        try:
            async with asyncio.timeout(connection.socket_timeout):
                replies = Replies(connection)
                writer: asyncio.StreamWriter = connection._writer  # noqa: SLF001 - as the reader
                writer.write(commands)
                await writer.drain()
                yield replies
            replies.require_end()
            if replies.read_only:
                await connection.disconnect()  # the next connection asks where the master is
        except BaseException as error:
            await connection.disconnect(nowait=True)  # what comes on it now is of no use
            if isinstance(error, (RedisError, OSError)):  # asyncio's TimeoutError is an OSError
                raise AnswerLostError("connection lost before the answer") from error
            raise


class Replies:
    """The replies on a connection that nobody else reads from meanwhile.

    Attributes:
        read_only: Whether one of them was that the server takes no writes.
    """

    def __init__(self, connection: Any) -> None:
        # Neither is public; the parser's own way costs an object and five awaits a reply.
        self._reader: asyncio.StreamReader = connection._reader  # noqa: SLF001
        self._error = connection._parser.parse_error  # noqa: SLF001
        self._buffer = bytearray()
        self._at = 0
        self.read_only = False

    async def read(self, count: int) -> list[RedisError | None]:
        """The next replies: None, or the error that a reply is."""
        found: list[RedisError | None] = []
        while len(found) < count:
            end = self._buffer.find(_END, self._at)
            if end < 0:
                await self._more()
                continue
            kind, start = self._buffer[self._at : self._at + 1], self._at + 1
            self._at = end + len(_END)
            match kind:
                case b"+" | b":":
                    found.append(None)
                case b"$":
                    await self._skip(int(self._buffer[start:end]))
                    found.append(None)
                case b"-":
                    found.append(self._refusal(self._buffer[start:end]))
                case _:
                    raise InvalidResponse("protocol error")
        return found

    async def transaction(self, commands: int) -> list[RedisError | None] | RedisError:
        """The outcome of a MULTI, so many commands and an EXEC.

        Returns:
            An error or None for each command, or why none was run.
        """
        queued = await self.read(1 + commands)
        while (end := self._buffer.find(_END, self._at)) < 0:
            await self._more()
        if self._buffer.startswith(b"*", self._at):
            self._at = end + len(_END)
            return await self.read(commands)
        (aborted,) = await self.read(1)
        refused = next((error for error in queued if error is not None), aborted)
        if refused is None:
            raise InvalidResponse("protocol error")
        return refused

    def require_end(self) -> None:
        """Make sure that nothing was sent beyond what was read.

        Raises:
            InvalidResponse: The server answers to something else than what was asked.
        """
        if self._at != len(self._buffer):
            raise InvalidResponse("protocol error")

    def _refusal(self, text: bytearray) -> RedisError:
        error: RedisError = self._error(text.decode("utf-8", "replace"))
        self.read_only |= isinstance(error, ReadOnlyError)
        return error

    async def _skip(self, size: int) -> None:
        if size < 0:  # a nil
            return
        end = self._at + size + len(_END)
        while len(self._buffer) < end:
            await self._more()
        self._at = end

    async def _more(self) -> None:
        chunk = await self._reader.read(_CHUNK)
        if not chunk:
            raise RedisConnectionError("connection closed by the server")
        self._buffer += chunk
