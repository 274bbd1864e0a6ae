from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis

from cartsnitch.event.v1 import CouponsUpdated, PricesUpdated
from cartsnitch_common.config import Settings
from cartsnitch_common.embedded import ValkeyServer
from cartsnitch_common.errors import NotAPublisherError, ServerUnavailableError
from cartsnitch_common.events import (
    Event,
    Subscription,
    async_redis,
    encode,
    publish,
    publish_sync,
    pubsub,
    subscribe,
    sync_redis,
    to_json,
    wrap,
)
from tests.event_payloads import all_payloads, coupons, prices, publisher_of

CHANNEL = "cartsnitch.prices.updated"


async def take(events: Subscription[Any], count: int) -> list[Event[Any]]:
    found: list[Event[Any]] = []
    async with asyncio.timeout(10):
        async for event in events:
            found.append(event)
            if len(found) == count:
                break
    return found


async def publish_with_threads(settings: Settings, payload: Any) -> Any:
    client = sync_redis(settings)
    try:
        return await asyncio.to_thread(
            publish_sync, client, payload, service=publisher_of(payload), key="k"
        )
    finally:
        client.close()


async def publish_with_asyncio(settings: Settings, payload: Any) -> Any:
    client = async_redis(settings)
    try:
        return await publish(client, payload, service=publisher_of(payload), key="k")
    finally:
        await client.aclose()


@pytest.mark.parametrize("send", [publish_with_asyncio, publish_with_threads])
@pytest.mark.parametrize("event_type", sorted(all_payloads()))
async def test_a_subscriber_gets_what_was_published(
    settings: Settings,
    redis: Redis,
    event_type: str,
    send: Callable[[Settings, Any], Awaitable[Any]],
) -> None:
    """Every event arrives on its channel as the payload it was, whoever published it."""
    payload = all_payloads()[event_type]
    async with subscribe(redis, type(payload)) as events:
        envelope = await send(settings, payload)
        (event,) = await take(events, 1)
        assert event.payload == payload
        assert str(event.event_id) == envelope.event_id
        assert event.type == event_type
        assert events.stats.received == 1


async def test_nothing_is_missed_once_the_subscription_has_entered(redis: Redis) -> None:
    """The server has confirmed every channel before the block runs."""
    for _ in range(50):
        async with subscribe(redis, PricesUpdated, CouponsUpdated) as events:
            assert await redis.publish(CHANNEL, b"x") == 1
            assert await redis.publish("cartsnitch.coupons.updated", b"x") == 1
            assert events.stats.received == 0


@asynccontextmanager
async def slow_way(url: str, seconds: float) -> AsyncIterator[str]:
    """A way to the server on which everything that is sent arrives late."""
    address = urlsplit(url)

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await asyncio.sleep(seconds)
            writer.write(data)
        writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(address.hostname, address.port)
        await asyncio.gather(carry(reader, back), carry(there, writer))

    listener = await asyncio.start_server(connect, "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        yield url.replace(f":{address.port}", f":{port}")


async def test_entering_waits_for_the_servers_answer(settings: Settings, redis: Redis) -> None:
    """On a slow way too, what is published right after entering is heard."""
    async with slow_way(settings.require_redis_url(), 0.1) as url:
        far = async_redis(Settings.load(redis_url=url))
        async with subscribe(far, PricesUpdated, CouponsUpdated) as events:
            await publish(redis, prices(), service="stickershock", key="k")
            (event,) = await take(events, 1)
            assert event.key == "k"
        await far.aclose()


async def test_several_channels_are_heard_in_order(redis: Redis) -> None:
    """One subscription may listen to several payloads; each event says which it is."""
    async with subscribe(redis, PricesUpdated, CouponsUpdated) as events:
        await publish(redis, prices(), service="stickershock", key="k")
        await publish(redis, coupons(), service="clipartist", key="k")
        found = await take(events, 2)
        assert [type(event.payload) for event in found] == [PricesUpdated, CouponsUpdated]


async def test_a_loop_over_the_subscription_enters_by_itself(redis: Redis) -> None:
    """``async for`` without ``async with`` listens, and stops listening at its end."""

    async def speak() -> None:
        while not await redis.publish(CHANNEL, b""):  # noqa: ASYNC110 - until someone listens
            await asyncio.sleep(0.01)
        await publish(redis, prices(), service="stickershock", key="k")

    speaking = asyncio.create_task(speak())
    events = subscribe(redis, PricesUpdated)
    iterator = aiter(events)
    event = await asyncio.wait_for(anext(iterator), 10)
    assert event.payload == prices()
    await iterator.aclose()
    await speaking
    assert await redis.publish(CHANNEL, b"x") == 0


async def test_what_is_no_event_is_skipped_and_counted(
    redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """Garbage, other channels' events and unknown types neither stop nor reach a subscriber."""
    unknown = wrap(prices(), service="stickershock", key="k")
    unknown.ClearField("prices_updated")
    unknown.event_type = "cartsnitch.baskets.compared"
    stray = wrap(coupons(), service="clipartist", key="k")
    async with subscribe(redis, PricesUpdated) as events:
        for data in (b"", b"garbage", b"{}", encode(stray), encode(unknown), b"x" * 300_000):
            await redis.publish(CHANNEL, data)
        sent = await publish(redis, prices(), service="stickershock", key="k")
        (event,) = await take(events, 1)
        assert str(event.event_id) == sent.event_id
        assert (events.stats.malformed, events.stats.unknown, events.stats.received) == (5, 1, 1)
    assert len(caplog.records) == 6
    assert all(record.levelno == logging.WARNING for record in caplog.records)
    assert "garbage" not in caplog.text


async def test_the_json_of_an_older_service_is_heard(redis: Redis) -> None:
    """What a service publishes in the seed's JSON arrives like any other event."""
    envelope = wrap(prices(), service="stickershock", key="k")
    async with subscribe(redis, PricesUpdated) as events:
        await redis.publish(CHANNEL, to_json(envelope))
        (event,) = await take(events, 1)
        assert event.payload == prices()


async def test_a_cut_subscription_listens_again(redis: Redis, settings: Settings) -> None:
    """After a cut the subscription is made anew; the cut is counted, because it loses events."""
    async with subscribe(redis, PricesUpdated) as events:
        await publish(redis, prices(), service="stickershock", key="before")
        assert (await take(events, 1))[0].key == "before"
        other = async_redis(settings)
        waiting = asyncio.create_task(take(events, 1))
        await asyncio.sleep(0.05)
        assert await other.client_kill_filter(_type="pubsub") == 1
        while not await publish_until_heard(other):  # noqa: ASYNC110 - Redis tells
            await asyncio.sleep(0.02)
        (event,) = await waiting
        assert event.key == "after"
        assert events.stats.cuts == 1
        await other.aclose()


async def test_a_slow_subscriber_is_cut_and_says_so(own_valkey: ValkeyServer) -> None:
    """Who reads too slowly loses events; that is counted as a cut, and it hears again."""
    settings = Settings.load(redis_url=own_valkey.url)
    redis, other = async_redis(settings), async_redis(settings)
    await other.config_set("client-output-buffer-limit", "pubsub 256kb 0 0")
    data = encode(wrap(prices(200), service="stickershock", key="many"))
    async with subscribe(redis, PricesUpdated) as events:
        async with asyncio.timeout(20):
            while await other.publish(CHANNEL, data):  # it reads nothing
                pass
        waiting = asyncio.create_task(take(events, 10_000))
        async with asyncio.timeout(20):
            while events.stats.cuts == 0:  # noqa: ASYNC110 - a counter tells
                await asyncio.sleep(0.02)
            heard = events.stats.received
            while events.stats.received == heard:
                await publish_until_heard(other)
                await asyncio.sleep(0.02)
        assert events.stats.cuts == 1
        waiting.cancel()
        await asyncio.wait([waiting])
    await redis.aclose()
    await other.aclose()


async def publish_until_heard(redis: Redis) -> bool:
    envelope = wrap(prices(), service="stickershock", key="after")
    return bool(await redis.publish(CHANNEL, encode(envelope)))


async def test_a_quiet_channel_is_no_dead_one(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silence leads to a PING, not to a cut, and events come through afterwards."""
    monkeypatch.setattr(pubsub, "_QUIET", 0.05)
    async with subscribe(redis, PricesUpdated) as events:
        waiting = asyncio.create_task(take(events, 1))
        await asyncio.sleep(0.5)
        await publish(redis, prices(), service="stickershock", key="k")
        (event,) = await waiting
        assert event.payload == prices()
        assert events.stats.cuts == 0


async def test_a_refused_event_is_not_published(redis: Redis) -> None:
    """What the contract refuses reaches no channel."""
    async with subscribe(redis, PricesUpdated) as events:
        with pytest.raises(NotAPublisherError):
            await publish(redis, prices(), service="clipartist", key="k")
        await publish(redis, prices(), service="stickershock", key="right")
        assert (await take(events, 1))[0].key == "right"


async def test_an_unreachable_server_is_our_error() -> None:
    """Who enters a subscription on a server that is not there is told, with the setting's name."""
    client = async_redis(Settings.load(redis_url="redis://127.0.0.1:1/0"))
    with pytest.raises(ServerUnavailableError, match="CARTSNITCH_REDIS_URL: nobody listens"):
        async with subscribe(client, PricesUpdated):
            pass
    await client.aclose()
