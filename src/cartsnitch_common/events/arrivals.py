"""New entries of streams, read from the connection without an object for each of their parts.

redis-py reads an entry with ten awaits, which costs more than to decode and check the event
in it. Redis answers a group's reader in one form: an entry as our publishers write it is
told by one pattern, and any other one is read part by part.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, ReadOnlyError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from cartsnitch_common.events.names import ENTRY_FIELD
from cartsnitch_common.events.resp import END, Answer

if TYPE_CHECKING:
    type Found = tuple[bytes, bytes, dict[bytes, bytes]]

_ENTRY: Final = re.compile(
    rb"\*2\r\n\$\d+\r\n(\d+-\d+)\r\n\*2\r\n\$%d\r\n%b\r\n\$(\d+)\r\n"
    % (len(ENTRY_FIELD), re.escape(ENTRY_FIELD))
)
"""An entry with an envelope alone, up to its bytes: its id, and how many they are."""


async def read_arrivals(redis: Any, command: bytes) -> list[Found]:
    """Ask for new entries.

    Args:
        redis: A client of one server, from ``async_redis``.
        command: An XREADGROUP, packed, that waits less long than the socket does.

    Returns:
        For each entry its stream, its id and its fields.

    Raises:
        RedisError: Redis refuses it, or the connection broke; what it had may be delivered.
    """
    pool: Any = redis.connection_pool  # half of it is not annotated
    connection = await pool.get_connection()
    ended = False
    try:
        await connection.send_packed_command(command)
        async with asyncio.timeout(connection.socket_timeout):
            answer = Arrivals(connection)
            found = await answer.arrivals()
        answer.require_end()
        ended = True
    except ReadOnlyError:  # the next connection asks where the master is
        raise
    except ResponseError:
        ended = True
        raise
    except TimeoutError as error:
        raise RedisTimeoutError("no answer in time") from error
    except OSError as error:
        raise RedisConnectionError("connection lost before the answer") from error
    else:
        return found
    finally:
        if not ended:
            await connection.disconnect(nowait=True)  # what comes on it now is of no use
        await pool.release(connection)


class Arrivals(Answer):
    """The answer to one command about streams."""

    async def arrivals(self) -> list[Found]:
        """The entries of all streams; see ``read_arrivals``."""
        found: list[Found] = []
        for _ in range(await self.number(b"*")):
            await self.number(b"*")  # two: the stream's name and its entries
            stream = await self._word()
            for _ in range(await self.number(b"*")):
                entry = _ENTRY.match(self._buffer, self._at)
                if entry is None:
                    found.append((stream, *await self._entry()))
                else:
                    self._at = entry.end()
                    data = await self._bytes(int(entry[2]))
                    found.append((stream, entry[1], {ENTRY_FIELD: data}))
        return found

    async def _entry(self) -> tuple[bytes, dict[bytes, bytes]]:
        """An entry of any fields."""
        await self.number(b"*")  # two: its id and its fields
        entry_id = await self._word()
        words = [await self._word() for _ in range(await self.number(b"*"))]
        return entry_id, dict(zip(words[::2], words[1::2], strict=True))

    async def _word(self) -> bytes:
        return await self._bytes(await self.number(b"$"))

    async def number(self, kind: bytes) -> int:
        """A number, or how long what follows is; 0 for a nil.

        Args:
            kind: The byte that is to stand before it.

        Raises:
            ResponseError: An error stands there.
            InvalidResponse: Anything else.
        """
        while (end := self._buffer.find(END, self._at)) < 0:
            await self._more()
        line = bytes(self._buffer[self._at : end])
        self._at = end + len(END)
        if line[:1] == b"-":
            error: ResponseError = self._error(line[1:].decode("utf-8", "replace"))
            raise error
        if line[:1] != kind:
            raise InvalidResponse("protocol error")
        return max(0, int(line[1:]))

    async def _bytes(self, size: int) -> bytes:
        start, end = self._at, self._at + size
        self._at = end + len(END)
        while len(self._buffer) < self._at:
            await self._more()
        return bytes(self._buffer[start:end])
