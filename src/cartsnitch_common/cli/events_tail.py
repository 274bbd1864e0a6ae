"""`cartsnitch events tail`: events as they are published, or as they were relayed."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Annotated

import typer

from cartsnitch_common.cli.events_filter import Condition
from cartsnitch_common.cli.servers import opened_redis, opened_sessions, stopped_by_signals
from cartsnitch_common.config import Settings
from cartsnitch_common.constants import EventType
from cartsnitch_common.contract import bindings
from cartsnitch_common.contract.redaction import redacted_value
from cartsnitch_common.errors import EventError
from cartsnitch_common.events.envelope import decode, payload_of, to_json
from cartsnitch_common.events.event_log import read_log
from cartsnitch_common.events.pubsub import subscribe

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cartsnitch.event.v1 import Envelope
    from cartsnitch_common.events.client import RedisClient


def tail(
    *,
    channel: Annotated[
        list[EventType] | None, typer.Option(help="Only this channel. Repeatable.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="Only events of this key.")] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH=VALUE",
            help="Only events with this value, such as payload.store=STORE_SLUG_MEIJER, by the"
            " names of the JSON form; of a list, in one of its elements. Repeatable: all of them.",
        ),
    ] = None,
    count: Annotated[
        int | None, typer.Option(min=1, help="End after so many events.", metavar="N")
    ] = None,
    from_log: Annotated[
        bool, typer.Option("--from-log", help="Print what was relayed in the last days, and end.")
    ] = False,
) -> None:
    """Print each event that is published from now on, as one line of JSON.

    This listens to plain pub/sub, which keeps nothing: what was published before, or while
    the connection is down, is not shown. With --from-log the event log is read instead, from
    the database; its events are of the days that the relay keeps. Personal fields are blotted
    out, ids are not.
    """
    channels = set(channel or EventType)
    conditions = [Condition.parse(text, channels) for text in where or ()]
    printer = _Printer(key, conditions, count)
    settings = Settings.load()
    if from_log:
        asyncio.run(_print_log(settings, sorted(channels), printer))
    else:
        asyncio.run(_print_live(settings, channels, printer))


class _Printer:
    """Prints the events that are wanted, until there were enough."""

    def __init__(self, key: str | None, conditions: list[Condition], count: int | None) -> None:
        self._key = key
        self._conditions = conditions
        self._left = count

    def has_enough_with(self, envelope: Envelope) -> bool:
        if self._key is not None and envelope.key != self._key:
            return False
        try:
            value = json.loads(to_json(envelope))
        except EventError as error:
            typer.echo(f"skipped an event: {error}", err=True)
            return False
        if not all(condition.holds(value) for condition in self._conditions):
            return False
        value["payload"] = redacted_value(value["payload"], payload_of(envelope).DESCRIPTOR)
        typer.echo(json.dumps(value, ensure_ascii=False))
        if self._left is not None:
            self._left -= 1
        return self._left == 0


async def _print_live(settings: Settings, channels: set[EventType], printer: _Printer) -> None:
    stop = asyncio.Event()
    async with opened_redis(settings) as redis:
        with stopped_by_signals(stop):
            printing = asyncio.create_task(_print_published(redis, channels, printer))
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait({printing, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            printing.cancel()
            await asyncio.gather(printing, stopping, return_exceptions=True)
            if not printing.cancelled():
                printing.result()


async def _print_published(redis: RedisClient, channels: set[EventType], printer: _Printer) -> None:
    kinds = [binding.payload for binding in bindings() if binding.event_type in channels]
    async with subscribe(redis, *kinds) as events:
        typer.echo(f"listening on {len(kinds)} channels", err=True)
        async for envelope in events.envelopes():
            if printer.has_enough_with(envelope):
                return


async def _print_log(settings: Settings, channels: list[EventType], printer: _Printer) -> None:
    async for data in _logged(settings, channels):
        try:
            envelope = decode(data)
        except EventError as error:
            typer.echo(f"skipped an event: {error}", err=True)
            continue
        if printer.has_enough_with(envelope):
            return


async def _logged(settings: Settings, channels: list[EventType]) -> AsyncIterator[bytes]:
    last = 0
    async with opened_sessions(settings) as sessions:
        while True:
            async with sessions() as session:
                batch = await read_log(session, event_types=channels, since_id=last)
            for row in batch:
                yield row.envelope
            if not batch:
                return
            last = batch[-1].id
