"""What every way to listen promises, and where they differ: each test runs on all of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cartsnitch.event.v1 import CouponsUpdated, PricesUpdated
from cartsnitch_common.errors import (
    EventTooLargeError,
    InvalidFieldError,
    NotAPublisherError,
    UnknownEventTypeError,
)
from cartsnitch_common.events import Event, encode, to_json, wrap
from tests.behaviour.adapters import Adapter, Can, publisher
from tests.event_payloads import all_payloads, coupons, prices, publisher_of

CHANNEL = "cartsnitch.prices.updated"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def publish(adapter: Adapter, *keys: str, **context: Any) -> None:
    for key in keys:
        await adapter.publish(prices(), service="stickershock", key=key, **context)


async def test_every_event_arrives_as_it_was(adapter: Adapter) -> None:
    """Payload, key, service, ids and trace context arrive, of every event of the contract."""
    payloads = all_payloads()
    async with adapter.listen(*(type(payload) for payload in payloads.values())) as listener:
        sent = [
            await publisher(adapter).publish(
                payload,
                service=publisher_of(payload),
                key="k",
                correlation_id="c",
                traceparent=TRACE,
            )
            for payload in payloads.values()
        ]
        await listener.until(len(sent))
    found = {event.type.value: event for event in listener.events}
    for envelope in sent:
        event = found[envelope.event_type]
        assert event.payload == payloads[envelope.event_type]
        assert str(event.event_id) == envelope.event_id
        assert (event.service, event.key) == (envelope.service, "k")
        assert (event.correlation_id, event.traceparent) == ("c", TRACE)


async def test_events_of_a_key_arrive_in_order(adapter: Adapter) -> None:
    """What one publisher says of a key is heard in the order in which it was said."""
    async with adapter.listen(PricesUpdated) as listener:
        for number in range(40):
            await publish(adapter, f"k{number % 3}", correlation_id=str(number))
        await listener.until(40)
    for key in ("k0", "k1", "k2"):
        numbers = [int(event.correlation_id or 0) for event in listener.events if event.key == key]
        assert numbers == sorted(numbers)


async def test_a_listener_hears_only_what_it_asked_for(adapter: Adapter) -> None:
    """An event of another channel does not reach it."""
    async with adapter.listen(PricesUpdated) as listener:
        await adapter.publish(coupons(), service="clipartist", key="other")
        await publish(adapter, "mine")
        await listener.until(1)
    assert listener.keys == ["mine"]


async def test_every_group_hears_everything(adapter: Adapter) -> None:
    """Two services that listen to one channel get each event both."""
    async with (
        adapter.listen(PricesUpdated, group="stickershock") as one,
        adapter.listen(PricesUpdated, group="clipartist") as other,
    ):
        await publish(adapter, "a", "b")
        await one.until(2)
        await other.until(2)
    assert one.keys == other.keys == ["a", "b"]


async def test_a_refused_event_reaches_nobody(adapter: Adapter) -> None:
    """Who may not publish, what breaks a rule and what is too large: an error, and nothing else."""
    broken = prices()
    broken.store_id = "no id"
    async with adapter.listen(PricesUpdated, CouponsUpdated) as listener:
        with pytest.raises(NotAPublisherError):
            await adapter.publish(prices(), service="clipartist", key="k")
        with pytest.raises(InvalidFieldError):
            await adapter.publish(broken, service="stickershock", key="k")
        with pytest.raises(EventTooLargeError):
            await adapter.publish(
                coupons(description="x" * 900, count=400), service="clipartist", key="k"
            )
        with pytest.raises(UnknownEventTypeError):
            await adapter.publish(prices().observations[0], service="stickershock", key="k")
        await publish(adapter, "sound")
        await listener.until(1)
    assert listener.keys == ["sound"]


async def test_what_is_no_event_stops_nobody(adapter: Adapter) -> None:
    """Garbage and other channels' events are counted, and the next event is heard."""
    stray = encode(wrap(coupons(), service="clipartist", key="k"))
    async with adapter.listen(PricesUpdated) as listener:
        for data in (b"", b"garbage", stray, b"x" * 300_000):
            await adapter.publish_raw(CHANNEL, data)
        await publish(adapter, "sound")
        await listener.until(1)
    assert listener.keys == ["sound"]
    assert listener.refused() == 4


async def test_an_event_of_a_newer_version_is_skipped(adapter: Adapter) -> None:
    """A type that this version does not know is counted apart, and is no failure."""
    unknown = wrap(prices(), service="stickershock", key="k")
    unknown.ClearField("prices_updated")
    unknown.event_type = "cartsnitch.baskets.compared"
    async with adapter.listen(PricesUpdated) as listener:
        await adapter.publish_raw(CHANNEL, encode(unknown))
        await publish(adapter, "known")
        await listener.until(1)
    assert listener.keys == ["known"]
    assert (listener.unknown(), listener.refused()) == (1, 0)


async def test_the_json_of_an_older_service_is_heard(adapter: Adapter) -> None:
    """What comes in the seed's JSON is an event like any other."""
    envelope = wrap(prices(), service="stickershock", key="k")
    async with adapter.listen(PricesUpdated) as listener:
        await adapter.publish_raw(CHANNEL, to_json(envelope).encode())
        await listener.until(1)
    assert listener.events[0].payload == prices()


async def test_what_was_published_before(adapter: Adapter) -> None:
    """Kept for who listens later, or gone: pub/sub never pretends to be durable."""
    await publish(adapter, "before")
    async with adapter.listen(PricesUpdated) as listener:
        await publish(adapter, "after")
        await listener.until(2 if Can.KEEP in adapter.can else 1)
    assert listener.keys == (["before", "after"] if Can.KEEP in adapter.can else ["after"])


async def test_what_comes_twice(adapter: Adapter) -> None:
    """An event that is on the wire twice is handled once, where an inbox decides."""
    envelope = wrap(prices(), service="stickershock", key="twice")
    async with adapter.listen(PricesUpdated) as listener:
        for _ in range(2):
            await adapter.publish_raw(CHANNEL, encode(envelope))
        await publish(adapter, "last")
        await listener.until(2 if Can.ONCE in adapter.can else 3)
    assert listener.keys == ["twice"] * (1 if Can.ONCE in adapter.can else 2) + ["last"]


async def test_a_handler_that_fails(adapter: Adapter) -> None:
    """It is called again with the same event, before what is behind it, where that is promised."""
    tries = 0

    async def handle(event: Event[Any]) -> None:
        nonlocal tries
        if event.key == "bad":
            tries += 1
            if tries < 3:
                raise ValueError

    async with adapter.listen(PricesUpdated, handle=handle) as listener:
        await publish(adapter, "bad", "good")
        await listener.until(2 if Can.RETRY in adapter.can else 1)
    assert sorted(listener.keys) == (["bad", "good"] if Can.RETRY in adapter.can else ["good"])
    assert listener.failures == (2 if Can.RETRY in adapter.can else 1)


async def test_a_handler_that_always_fails(adapter: Adapter) -> None:
    """It loses its event, after five deliveries where it is tried again, and no other."""

    async def handle(event: Event[Any]) -> None:
        if event.key == "bad":
            raise ValueError

    async with adapter.listen(PricesUpdated, handle=handle) as listener:
        await publish(adapter, "bad", "good")
        await listener.until(1)
        expected = 5 if Can.RETRY in adapter.can else 1
        async with asyncio.timeout(10):
            while listener.failures < expected:  # noqa: ASYNC110 - a counter tells
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
    assert listener.keys == ["good"]
    assert listener.failures == expected
    assert listener.refused() == (1 if Can.RETRY in adapter.can else 0)


async def test_after_a_cut(adapter: Adapter) -> None:
    """Everybody hears again; nothing is missing, or the cut is counted because something may."""
    async with adapter.listen(PricesUpdated) as listener:
        await publish(adapter, "before")
        await listener.until(1)
        await adapter.cut()
        sent = 0
        async with asyncio.timeout(10):
            while "after" not in listener.keys:
                await publish(adapter, "after")
                sent += 1
                await asyncio.sleep(0.02)
        if Can.KEEP in adapter.can:
            await listener.until(1 + sent)
            assert listener.keys == ["before"] + ["after"] * sent
        else:
            assert listener.cuts() == 1
