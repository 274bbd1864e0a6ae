"""`cartsnitch events`: run the relay, watch the channels."""

from __future__ import annotations

import asyncio
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cartsnitch_common.cli.events_acl import acl
from cartsnitch_common.config import Settings
from cartsnitch_common.constants import EventType
from cartsnitch_common.contract import bindings
from cartsnitch_common.db.engine import check_database
from cartsnitch_common.errors import EventError
from cartsnitch_common.events.client import async_redis, check_redis
from cartsnitch_common.events.envelope import to_json
from cartsnitch_common.events.pubsub import subscribe
from cartsnitch_common.events.relay import Relay

if TYPE_CHECKING:
    from collections.abc import Iterator

app = typer.Typer(help="The event bus: relay and watch.", no_args_is_help=True)
app.command()(acl)


@app.command()
def relay() -> None:
    """Publish what services write to the outbox, until SIGTERM or SIGINT.

    Any number may run: one relays, the others stand by.
    """
    settings = Settings.load()
    asyncio.run(_relay(settings))


@app.command()
def tail(
    *,
    channel: Annotated[
        list[EventType] | None, typer.Option(help="Only this channel. Repeatable.")
    ] = None,
    count: Annotated[
        int | None, typer.Option(min=1, help="End after so many events.", metavar="N")
    ] = None,
) -> None:
    """Print each event that is published from now on, as one line of JSON.

    This listens to plain pub/sub: what was published before is not shown.
    """
    asyncio.run(_tail(Settings.load(), set(channel or EventType), count))


async def _relay(settings: Settings) -> None:
    # A server that cannot be reached at all is the operator's mistake, and said at
    # once; one that goes away later comes back, and is waited for.
    await check_database(settings)
    await check_redis(settings)
    stop = asyncio.Event()
    with _stopped_by_signals(stop):
        typer.echo("relaying until SIGTERM or SIGINT", err=True)
        await Relay(settings).run(stop)


async def _tail(settings: Settings, channels: set[EventType], count: int | None) -> None:
    await check_redis(settings)
    stop = asyncio.Event()
    redis = async_redis(settings)
    try:
        with _stopped_by_signals(stop):
            printing = asyncio.create_task(_print_events(redis, channels, count))
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait({printing, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            printing.cancel()
            await asyncio.gather(printing, stopping, return_exceptions=True)
            if not printing.cancelled():
                printing.result()
    finally:
        await redis.aclose()


async def _print_events(redis: Any, channels: set[EventType], count: int | None) -> None:
    kinds = [binding.payload for binding in bindings() if binding.event_type in channels]
    left = count
    async with subscribe(redis, *kinds) as events:
        typer.echo(f"listening on {len(kinds)} channels", err=True)
        async for envelope in events.envelopes():
            try:
                typer.echo(to_json(envelope))
            except EventError as error:
                typer.echo(f"skipped an event: {error}", err=True)
                continue
            if left is not None:
                left -= 1
                if left == 0:
                    return


@contextmanager
def _stopped_by_signals(stop: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
