"""A way to a server that can be cut, lose an answer, hold back what it carries, or fall silent."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from cartsnitch_common.embedded.ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_CHUNK = 65536
_RESET = struct.pack("ii", 1, 0)
"""Linger for no time: what was not sent is dropped, and the other end is told so."""


class Proxy:
    """A proxy of TCP on the loopback interface.

    Attributes:
        port: Where it listens.
    """

    def __init__(self, target: int) -> None:
        """Describe a way to the port ``target``; open it as a context manager."""
        self._target = target
        self._links: set[_Link] = set()
        self._word: bytes | None = None
        self._lost = asyncio.Event()
        self.delay = 0.0
        """Unit: seconds that every piece of data is held back, in both directions."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, LOOPBACK, 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    def cut(self) -> int:
        """Reset every connection; how many there were."""
        links = [link for link in self._links if not link.silent]
        for link in list(self._links):
            link.abort()
        return len(links)

    def fall_silent(self) -> int:
        """Carry nothing more on the connections there are, and leave them open.

        Returns:
            How many there were. New connections work.
        """
        links = [link for link in self._links if not link.silent]
        for link in links:
            link.silent = True
        return len(links)

    async def lose_answer(self, word: bytes, *, within: float) -> bool:
        """Carry the next request with ``word`` in it to the server, and cut before the answer.

        Returns:
            Whether there was such a request in so many seconds.
        """
        self._lost.clear()
        self._word = word
        with suppress(TimeoutError):
            await asyncio.wait_for(self._lost.wait(), within)
        self._word = None
        return self._lost.is_set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server = await asyncio.open_connection(LOOPBACK, self._target)
        except OSError:  # the server is down, and so is the way to it
            writer.transport.abort()
            return
        link = _Link(self, (reader, writer), server)
        self._links.add(link)
        try:
            await link.carry()
        finally:
            self._links.discard(link)

    def _asked(self, data: bytes) -> bool:
        """Whether the answer to this shall be lost."""
        if self._word is None or self._word not in data:
            return False
        self._word = None
        return True


type _Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Link:
    """One connection."""

    def __init__(self, proxy: Proxy, client: _Streams, server: _Streams) -> None:
        self._proxy = proxy
        self._client, self._server = client, server
        self._mute = False
        self.silent = False

    async def carry(self) -> None:
        """Carry both ways until one end closes."""
        ways = [
            asyncio.create_task(self._one_way(self._client[0], self._ask)),
            asyncio.create_task(self._one_way(self._server[0], self._answer)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        self.abort()
        await asyncio.wait(ways)

    def abort(self) -> None:
        """Reset both ends."""
        for _, writer in (self._client, self._server):
            if not writer.transport.is_closing():
                end: socket.socket = writer.get_extra_info("socket")
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()

    async def _one_way(
        self, source: asyncio.StreamReader, give: Callable[[bytes], Awaitable[None]]
    ) -> None:
        with suppress(OSError):
            while data := await source.read(_CHUNK):
                if self._proxy.delay:
                    await asyncio.sleep(self._proxy.delay)
                if not self.silent:
                    await give(data)

    async def _ask(self, data: bytes) -> None:
        self._mute = self._mute or self._proxy._asked(data)
        self._server[1].write(data)
        await self._server[1].drain()

    async def _answer(self, data: bytes) -> None:
        if self._mute:
            self.abort()
            self._proxy._lost.set()
            return
        self._client[1].write(data)
        await self._client[1].drain()
