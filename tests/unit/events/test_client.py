from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis

from cartsnitch_common.config import Settings
from cartsnitch_common.errors import (
    ServerUnavailableError,
    ServerVersionError,
    SettingError,
    SetupError,
)
from cartsnitch_common.events import (
    ConsumerOptions,
    async_redis,
    check_redis,
    check_redis_sync,
    publish,
    publish_sync,
    sync_redis,
)
from cartsnitch_common.events.client import require_safe
from tests.event_payloads import prices

SECRET = "hunter2"

Answer = Callable[[bytes], bytes | None]


def settings(url: str) -> Settings:
    return Settings.load(
        redis_url=url, redis_connect_timeout=0.5, redis_socket_timeout=0.5, redis_block_time=0.2
    )


@asynccontextmanager
async def server(answer: Answer) -> AsyncIterator[str]:
    """A server of a few words: what to answer to what was read; None hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            said = answer(data)
            if said is None:
                break
            writer.write(said)
            await writer.drain()
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listener:
        yield f"redis://user:{SECRET}@127.0.0.1:{listener.sockets[0].getsockname()[1]}/0"


def hello(version: bytes, server_name: bytes = b"redis") -> Answer:
    def answer(data: bytes) -> bytes:
        if b"AUTH" in data:
            return b"+OK\r\n"
        return b"*4\r\n$6\r\nserver\r\n$%d\r\n%s\r\n$7\r\nversion\r\n$%d\r\n%s\r\n" % (
            len(server_name),
            server_name,
            len(version),
            version,
        )

    return answer


async def failure(url: str, kind: type[SettingError] = ServerUnavailableError) -> str:
    """What both checks say, which must be the same and hold no secret."""
    with pytest.raises(kind) as caught:
        await check_redis(settings(url))
    with pytest.raises(kind) as caught_sync:
        await asyncio.to_thread(check_redis_sync, settings(url))
    assert str(caught.value) == str(caught_sync.value)
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("CARTSNITCH_REDIS_URL: ")
    return str(caught.value).removeprefix("CARTSNITCH_REDIS_URL: ")


async def test_a_port_where_nobody_listens_is_named() -> None:
    """A server that is not there is said to refuse the connection."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert "nobody listens" in await failure(f"redis://:{SECRET}@127.0.0.1:{port}/0")


async def test_an_unknown_host_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that no name server knows is said to be unknown."""

    def unknown(*_arguments: Any, **_options: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)  # a real name server may be slow
    assert "name is not known" in await failure(f"redis://:{SECRET}@no-such-host.invalid:6379/0")


async def test_a_silent_server_is_named() -> None:
    """A server that takes the connection and never answers is given up in time."""
    async with server(lambda _data: b"") as url:
        assert "does not answer in time" in await failure(url)


async def test_a_server_that_is_no_redis_is_named() -> None:
    """Another protocol is told apart, and what it said is not repeated."""
    async with server(lambda _data: b"HTTP/1.1 400 Bad Request\r\n\r\n") as url:
        assert "does not speak" in await failure(url)


async def test_a_server_that_hangs_up_is_named() -> None:
    """A connection that is closed at once is a broken one."""
    async with server(lambda _data: None) as url:
        assert "broke" in await failure(url)


async def test_a_refused_login_is_named() -> None:
    """A wrong password is said to be refused."""
    async with server(lambda _data: b"-WRONGPASS invalid pair or user is disabled.\r\n") as url:
        assert "refuses the login" in await failure(url)


async def test_a_plain_server_behind_tls_is_named() -> None:
    """A server without TLS behind ``rediss://`` is told apart from an absent one."""
    async with server(lambda _data: b"-ERR\r\n") as url:
        assert "TLS" in await failure(url.replace("redis://", "rediss://"))


@pytest.mark.parametrize("version", [b"6.2.14", b"", b"5"])
async def test_an_old_server_is_refused(version: bytes) -> None:
    """Before Redis 7.0 the error says what is there and what is needed."""
    async with server(hello(version)) as url:
        said = await failure(url, ServerVersionError)
    assert f"redis {version.decode() or 'of an unknown version'} is too old, 7.0" in said


@pytest.mark.parametrize("version", [b"7.0.0", b"7.4.1", b"9.1.2", b"10.0"])
async def test_a_new_enough_server_is_named(version: bytes) -> None:
    """The check returns what the server calls itself."""
    async with server(hello(version, b"valkey")) as url:
        assert await check_redis(settings(url)) == f"valkey {version.decode()}"
        found = await asyncio.to_thread(check_redis_sync, settings(url))
    assert found == f"valkey {version.decode()}"


@pytest.mark.parametrize(
    "option", ["socket_timeout=60", "retry_on_timeout=yes", "protocol=3", "health_check_interval=1"]
)
def test_a_url_cannot_undo_the_options(option: str) -> None:
    """What the URL says would win over the settings: it may only speak of TLS."""
    for make in (async_redis, sync_redis):
        with pytest.raises(SettingError, match="no other options"):
            make(settings(f"redis://:{SECRET}@localhost/0?{option}"))


@pytest.mark.parametrize(
    "url",
    [
        f"redis://user:{SECRET}/x@localhost:6379/0",
        f"redis://user:{SECRET}@localhost:port/0",
        f"redis://user:{SECRET}@[::1/0",
        f"redis://user:{SECRET}@localhost/zero",
    ],
)
def test_a_url_that_cannot_be_read_is_not_repeated(url: str) -> None:
    """A password that spoils the URL does not end up in the error about it."""
    for make in (async_redis, sync_redis):
        with pytest.raises(SettingError) as caught:
            make(settings(url))
        assert SECRET not in str(caught.value)
        assert caught.value.__cause__ is None


def test_a_url_may_speak_of_tls() -> None:
    """Certificates are named in the URL, as redis-py has them."""
    client = sync_redis(settings("rediss://localhost/0?ssl_ca_certs=/etc/ca.pem"))
    assert client.connection_pool.connection_kwargs["ssl_ca_certs"] == "/etc/ca.pem"
    client.close()


def test_what_is_not_set_is_named() -> None:
    """Without a URL the variable is named."""
    with pytest.raises(SettingError, match="CARTSNITCH_REDIS_URL: is not set"):
        async_redis(Settings.load(redis_url=None))


@pytest.mark.parametrize("lost", ["the answer is lost", "no answer comes"])
async def test_a_write_is_sent_once(lost: str) -> None:
    """When the answer to a write is lost, the client does not write again."""
    seen = bytearray()

    def answer(data: bytes) -> bytes | None:
        if b"AUTH" in data:
            return b"+OK\r\n"
        seen.extend(data)
        return None if lost == "the answer is lost" else b""

    async with server(answer) as url:
        for call in (write_async, write_sync):
            seen.clear()
            with pytest.raises(ServerUnavailableError) as caught:
                await call(settings(url))
            assert seen.count(b"PUBLISH") == 1
            assert SECRET not in str(caught.value)


async def write_async(given: Settings) -> None:
    client = async_redis(given)
    try:
        await publish(client, prices(), service="stickershock", key="k")
    finally:
        await client.aclose()


async def write_sync(given: Settings) -> None:
    client = sync_redis(given)
    try:
        await asyncio.to_thread(publish_sync, client, prices(), service="stickershock", key="k")
    finally:
        client.close()


async def test_an_answer_may_take_as_long_as_the_settings_say() -> None:
    """The socket's timeout is the setting's, not redis-py's five seconds."""
    client: Any = async_redis(settings("redis://localhost/0"))
    options = client.connection_pool.connection_kwargs
    assert options["socket_timeout"] == options["socket_connect_timeout"] == 0.5
    await client.aclose()
    sync_client: Any = sync_redis(settings("redis://localhost/0"))
    assert sync_client.connection_pool.connection_kwargs["socket_timeout"] == 0.5
    sync_client.close()


async def test_a_client_that_repeats_commands_is_refused() -> None:
    """redis-py's own client is no base for a relay or a consumer, and is said to be none."""
    common = Redis.from_url("redis://localhost/0")
    with pytest.raises(SetupError, match="async_redis"):
        require_safe(common)
    ours = async_redis(settings("redis://localhost/0"))
    require_safe(ours, block=0.4)
    with pytest.raises(SetupError, match=r"0\.5 s must be below the socket timeout of 0\.5 s"):
        require_safe(ours, block=0.5)
    await common.aclose()
    await ours.aclose()


def test_a_consumers_wait_comes_from_the_settings() -> None:
    """CARTSNITCH_REDIS_BLOCK_TIME is how long a consumer waits, unless the code says otherwise."""
    settings = Settings.load(redis_block_time=0.7)
    assert ConsumerOptions.from_settings(settings).block == 0.7
    assert ConsumerOptions.from_settings(settings, block=0.1, name="2") == ConsumerOptions(
        block=0.1, name="2"
    )
