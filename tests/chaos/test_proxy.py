from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from cartsnitch_common.embedded.ports import LOOPBACK
from tests.chaos.proxy import Proxy

type Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Echo:
    """A server that answers with what it is asked, and remembers it."""

    def __init__(self) -> None:
        self.asked = b""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        while data := await reader.read(100):
            self.asked += data
            writer.write(data)
        writer.close()


@asynccontextmanager
async def through_proxy() -> AsyncIterator[tuple[Echo, Proxy, Streams]]:
    echo = Echo()
    server = await asyncio.start_server(echo.answer, LOOPBACK, 0)
    async with server, Proxy(server.sockets[0].getsockname()[1]) as proxy:
        client = await asyncio.open_connection(LOOPBACK, proxy.port)
        client[1].write(b"one")
        assert await client[0].readexactly(3) == b"one"
        yield echo, proxy, client
        client[1].transport.abort()


async def test_a_cut_resets_every_connection() -> None:
    """Both ends see the connection end, and how many there were is told."""
    async with through_proxy() as (_, proxy, (reader, _writer)):
        assert proxy.cut() == 1
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)


async def test_a_lost_answer_was_asked_for() -> None:
    """The request reaches the server, its answer reaches nobody, and the connection ends."""
    async with through_proxy() as (echo, proxy, (reader, writer)):
        losing = asyncio.create_task(proxy.lose_answer(b"two", within=5))
        await asyncio.sleep(0)
        writer.write(b"two")
        assert await losing
        assert echo.asked == b"onetwo"
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
        assert not await proxy.lose_answer(b"three", within=0.05)


async def test_silence_carries_nothing_and_ends_nothing() -> None:
    """Nothing more arrives on either side, and the connection is open all the same."""
    async with through_proxy() as (echo, proxy, (reader, writer)):
        assert proxy.fall_silent() == 1
        writer.write(b"two")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.2)
        assert echo.asked == b"one"
        assert not reader.at_eof()


async def test_a_delay_holds_everything_back() -> None:
    """With a delay an answer takes as long, there and back."""
    async with through_proxy() as (_, proxy, (reader, writer)):
        proxy.delay = 0.1
        start = asyncio.get_running_loop().time()
        writer.write(b"two")
        assert await reader.readexactly(3) == b"two"
        assert asyncio.get_running_loop().time() - start >= 0.2
