"""What the comparisons of events share: servers, payloads, and the seed's envelope."""

from __future__ import annotations

import datetime as dt
import json
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

import redis
import redis.asyncio

from _bench.samples import Samples
from cartsnitch.catalog.v1 import StoreSlug
from cartsnitch.event.v1 import PricesUpdated
from cartsnitch_common.config import Settings
from cartsnitch_common.constants import EventType, Service
from cartsnitch_common.convert import to_message
from cartsnitch_common.embedded import start_servers
from cartsnitch_common.events import async_redis, encode, sync_redis, wrap

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from _bench.world import World
    from cartsnitch_common.events.client import RedisClient, SyncRedisClient

SERVICE: Final = Service.RECEIPTWITNESS
CHANNEL: Final = EventType.PRICES_UPDATED.value
KEY: Final = "018f3c5e-7b1a-7c2d-8e3f-0a1b2c3d4e60"


class Clients(NamedTuple):
    """Ours, as a service makes them, and redis-py's, with all its defaults."""

    settings: Settings
    ours: RedisClient
    ours_sync: SyncRedisClient
    bare: Any
    bare_sync: Any


async def clients(world: World) -> Clients:
    """Clients of one server, made once."""
    return await world.get("redis clients", _clients)


async def _clients(world: World) -> AsyncIterator[Clients]:
    settings = await world.get("redis", _server)
    url = settings.require_redis_url()
    bare = redis.asyncio.Redis.from_url(url)
    bare_sync = redis.Redis.from_url(url)
    ours, ours_sync = async_redis(settings), sync_redis(settings)
    yield Clients(settings, ours, ours_sync, bare, bare_sync)
    await ours.aclose()
    await bare.aclose()
    ours_sync.close()
    bare_sync.close()


async def _server(_: World) -> AsyncIterator[Settings]:
    # Never one that the environment names: services may listen to it.
    with servers(append_only=False) as settings:
        yield settings


@contextmanager
def servers(*, append_only: Any) -> Iterator[Settings]:
    """Both servers, writing to the disk as in production; the stream as it is asked for.

    PostgreSQL is reached by a Unix socket, as where all is one machine: by TCP an eighth fewer
    events went from an outbox to their effects (2,491 to 2,801 and 2,528 to 2,912, in turns).
    """
    with ExitStack() as stack:
        sockets = stack.enter_context(TemporaryDirectory(prefix="bench-"))
        Path(sockets).chmod(0o1777)  # the server may be of another account
        tuned = {
            "shared_buffers": "256MB",
            "max_wal_size": "4GB",
            "checkpoint_timeout": "30min",
            "unix_socket_directories": sockets,
        }
        started = stack.enter_context(
            start_servers(durable=True, append_only=append_only, postgres_settings=tuned)
        )
        url = urlsplit(started.database_url)
        local = f"{url.username}:{url.password}@{url.path}?host={sockets}&port={url.port}"
        yield Settings.load(
            database_url=f"{url.scheme}://{local}",
            redis_url=started.redis_url,
            service="bench",
            database_statement_timeout=3600,
        )


def payload() -> PricesUpdated:
    """The platform's most frequent event: the price that one line of a receipt told."""
    price = Samples().price()
    return PricesUpdated(
        store_id=str(price.store_id),
        store=StoreSlug.STORE_SLUG_KROGER,
        observations=[to_message(price)],
    )


def data(key: str = KEY) -> bytes:
    """A new event of that kind as the bytes that both sides send."""
    return encode(wrap(payload(), service=SERVICE, key=key))


def seed_event() -> dict[str, Any]:
    """The same event as the platform's first publishers hold it before they write it."""
    price = Samples().price()
    names = ("regular_price", "sale_price", "loyalty_price", "coupon_price")
    found = {name: getattr(price, name) for name in names}
    return {
        "store_id": str(price.store_id),
        "store": "kroger",
        "observations": [
            {
                "id": str(price.id),
                "normalized_product_id": str(price.normalized_product_id),
                "store_id": str(price.store_id),
                "observed_date": price.observed_date.isoformat(),
                "source": price.source.value,
                "purchase_item_id": str(price.purchase_item_id),
                **{name: str(value) for name, value in found.items() if value is not None},
            }
        ],
    }


def seed_text(payload: dict[str, Any]) -> str:
    """The envelope of the platform's first events; nothing of it is checked."""
    envelope = {
        "event_type": CHANNEL,
        "timestamp": dt.datetime.now(dt.UTC).isoformat(),
        "service": SERVICE.value,
        "payload": payload,
    }
    return json.dumps(envelope)
