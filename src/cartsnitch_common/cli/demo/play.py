"""The play itself: ingest, relay, three consumers, and a gateway that listens."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, select, text

from cartsnitch.event.v1 import (
    PriceIncreaseDetected,
    PricesUpdated,
    ProductsNormalized,
    ReceiptsIngested,
    ShrinkflationDetected,
)
from cartsnitch_common.cli.demo import services
from cartsnitch_common.cli.demo.ingest import Recorded, record
from cartsnitch_common.cli.demo.receipts import ReceiptFile, ReceiptFileError, write_world
from cartsnitch_common.cli.demo.result import DemoResult, ReceiptResult, ServerInfo, Trace
from cartsnitch_common.constants import Service
from cartsnitch_common.contract import binding_of
from cartsnitch_common.db import engine as engines
from cartsnitch_common.db import models
from cartsnitch_common.db.seed import seed_stores
from cartsnitch_common.errors import CartsnitchError, InputError
from cartsnitch_common.events import Consumer, ConsumerOptions, client, subscribe
from cartsnitch_common.events.inbox import SqlInbox
from cartsnitch_common.events.relay import Relay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from google.protobuf.message import Message
    from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

    from cartsnitch_common.config import Settings
    from cartsnitch_common.events import Event

    type Sessions = async_sessionmaker[AsyncSession]

_PATIENCE: Final = 30.0
"""Unit: seconds until events that nobody handled are an error."""

_BLOCK: Final = 0.2
"""Unit: seconds that a consumer waits on Redis, and the end of the run on a consumer."""

_PREFIX: Final = "demo-"
"""The demonstration's consumer groups stand beside those of real services."""

_CONSUMERS: Final = (
    (Service.RECEIPTWITNESS, ReceiptsIngested, services.note_sync),
    (Service.STICKERSHOCK, PricesUpdated, services.detect_increases),
    (Service.SHRINKRAY, ProductsNormalized, services.detect_shrinking),
)
_SHOWN: Final[tuple[type[models.Base], ...]] = (
    models.Purchase,
    models.PurchaseItem,
    models.PriceHistory,
    models.ShrinkflationEvent,
    models.LoggedEvent,
    models.InboxEvent,
)
_ALERTS: Final[tuple[type[Message], ...]] = (PriceIncreaseDetected, ShrinkflationDetected)


class NotHandledError(CartsnitchError):
    """the events of the demonstration were not handled in time."""


async def play(
    settings: Settings,
    receipts: list[ReceiptFile],
    *,
    embedded: bool,
    say: Callable[[str], None],
) -> DemoResult:
    """Record receipts and watch what follows, on a database at head.

    Args:
        settings: The servers.
        receipts: The receipts, in the order in which they are recorded.
        embedded: Whether the servers were started for this run, for the report.
        say: Told in a few words what happens next.

    Raises:
        ReceiptFileError: A receipt contradicts one that is recorded; nothing of
            any receipt was written.
        NotHandledError: Some events had no effect within half a minute.
    """
    engine = engines.async_engine(settings)
    redis = client.async_redis(settings)
    try:
        sessions = engines.async_sessions(engine)
        await _rehearse(sessions, receipts)
        say("writing stores, locations and products")
        async with sessions.begin() as session:
            await _write_world(session, receipts)
        before = await _row_counts(sessions)
        say("recording receipts, relaying events, three services reacting")
        trace, alerts, results = await _perform(settings, sessions, redis, receipts)
        after = await _row_counts(sessions)
        return DemoResult(
            servers=await _server_info(settings, sessions, embedded=embedded),
            receipts=results,
            rows={name: after[name] - before[name] for name in after},
            events=trace.in_order(),
            increases=[item for item in alerts if isinstance(item, PriceIncreaseDetected)],
            shrinkflation=[item for item in alerts if isinstance(item, ShrinkflationDetected)],
        )
    finally:
        await redis.aclose()
        await engine.dispose()


async def _rehearse(sessions: Sessions, receipts: list[ReceiptFile]) -> None:
    """Record everything and roll it back: a contradiction is found before a row is kept."""
    async with sessions() as session:
        await _write_world(session, receipts)
        for file in receipts:
            await _record(session, file)
        await session.rollback()


async def _write_world(session: AsyncSession, receipts: list[ReceiptFile]) -> None:
    await session.run_sync(seed_stores)
    await write_world(session, receipts)


async def _record(session: AsyncSession, file: ReceiptFile) -> Recorded:
    try:
        return await record(session, file.receipt)
    except InputError as error:
        raise ReceiptFileError(file.name, str(error)) from None


async def _perform(
    settings: Settings, sessions: Sessions, redis: client.RedisClient, receipts: list[ReceiptFile]
) -> tuple[Trace, list[Any], list[ReceiptResult]]:
    trace, alerts, results = Trace(), list[Any](), list[ReceiptResult]()
    stop = asyncio.Event()
    # A person waits for the end: a consumer that waits on Redis sees it only then.
    options = ConsumerOptions.from_settings(settings, block=_BLOCK)
    async with asyncio.TaskGroup() as tasks, _gateway(redis, trace, alerts):
        tasks.create_task(Relay(settings).run(stop))
        for service, payload, handler in _CONSUMERS:
            consumer = Consumer(redis, SqlInbox(sessions), group=_PREFIX + service, options=options)
            consumer.on(payload)(_traced(trace, service, handler))
            tasks.create_task(consumer.run(stop))
        try:
            start = await _database_time(sessions)
            for file in receipts:
                async with sessions.begin() as session:
                    recorded = await _record(session, file)
                results.append(ReceiptResult(file=file, recorded=recorded))
            await _quiet(sessions, start, alerts)
        finally:
            stop.set()
    return trace, alerts, results


def _traced(trace: Trace, name: str, handler: Any) -> Any:
    async def handle(event: Event[Any], session: AsyncSession) -> None:
        trace.received(name, event)
        await handler(event, session)

    return handle


@asynccontextmanager
async def _gateway(
    redis: client.RedisClient, trace: Trace, alerts: list[Any]
) -> AsyncIterator[None]:
    """The API gateway: told of alerts by plain pub/sub, as it tells the browsers."""
    async with subscribe(redis, *_ALERTS) as events, asyncio.TaskGroup() as tasks:

        async def listen() -> None:
            async for event in events:
                trace.received(Service.API, event)
                alerts.append(event.payload)

        listener = tasks.create_task(listen())
        try:
            yield
        finally:
            listener.cancel()


# -- what the database says ----------------------------------------------------


async def _quiet(sessions: Sessions, start: Any, alerts: list[Any]) -> None:
    """Wait until every event since the start is relayed, handled and told to the gateway."""
    try:
        async with asyncio.timeout(_PATIENCE):
            # The database is asked: only it knows what is committed.
            while not await _is_quiet(sessions, start, len(alerts)):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise NotHandledError from None


async def _is_quiet(sessions: Sessions, start: Any, told: int) -> bool:
    log, inbox, outbox = models.LoggedEvent, models.InboxEvent, models.OutboxEvent
    # Outbox first: what a consumer adds after that is still in the log's count below.
    async with sessions() as session:
        if await session.scalar(select(func.count()).where(outbox.created_at >= start)):
            return False
        for service, payload, _ in _CONSUMERS:
            unhandled = select(func.count()).where(
                log.created_at >= start,
                log.event_type == binding_of(payload).event_type,
                ~select(inbox)
                .where(inbox.consumer == _PREFIX + service, inbox.event_id == log.event_id)
                .exists(),
            )
            if await session.scalar(unhandled):
                return False
        published = select(func.count()).where(
            log.created_at >= start,
            log.event_type.in_([binding_of(payload).event_type for payload in _ALERTS]),
        )
        waiting = await session.scalar(select(func.count()).where(outbox.created_at >= start))
        return not waiting and told >= (await session.scalar(published) or 0)


async def _database_time(sessions: Sessions) -> Any:
    async with sessions() as session:
        return await session.scalar(select(func.clock_timestamp()))


async def _row_counts(sessions: Sessions) -> dict[str, int]:
    async with sessions() as session:
        return {
            model.__tablename__: await session.scalar(select(func.count()).select_from(model)) or 0
            for model in _SHOWN
        }


async def _server_info(settings: Settings, sessions: Sessions, *, embedded: bool) -> ServerInfo:
    async with sessions() as session:
        postgres = await session.scalar(text("SHOW server_version"))
    return ServerInfo(
        postgres=str(postgres).partition(" ")[0],
        redis=(await client.check_redis(settings)).capitalize(),
        embedded=embedded,
    )
