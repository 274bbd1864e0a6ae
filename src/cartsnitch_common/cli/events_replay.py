"""`cartsnitch events replay`: events of the log, for one group once more."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from cartsnitch_common.cli.options import AsJson
from cartsnitch_common.cli.servers import opened_redis, opened_sessions, stopped_by_signals
from cartsnitch_common.cli.tables import print_table, progress
from cartsnitch_common.config import Settings
from cartsnitch_common.constants import EventType
from cartsnitch_common.errors import InvalidFieldError
from cartsnitch_common.events.resending import missed_pages, resend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cartsnitch_common.events.client import RedisClient


def replay(
    group: Annotated[str, typer.Argument(help="The consumer group: a service.", metavar="GROUP")],
    *,
    channel: Annotated[
        list[EventType] | None, typer.Option(help="Only this channel. Repeatable.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="What was relayed since, such as 2026-03-10T12:00Z."),
    ] = None,
    from_id: Annotated[
        int, typer.Option(min=0, metavar="ID", help="Begin behind this id of the log.")
    ] = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Send a group what its inbox does not know, from the log of the last days.

    This is for events that Redis has lost. What the group has handled, or given up on, is
    left alone, and other groups pass the rest over. The group's consumers handle it as it
    arrives; what is in Redis and not handled yet is sent too, and has one effect. May be
    stopped at any moment and begun again with the id that it tells.
    """
    request = _Request(
        group=group,
        channels=sorted(channel or EventType),
        since_time=None if since is None else _time(since),
        since_id=from_id,
        dry_run=dry_run,
    )
    result = asyncio.run(_replay(Settings.load(), request, shown=not as_json))
    if as_json:
        typer.echo(json.dumps({"dry_run": dry_run, **result.facts(request.channels)}))
        return
    columns = ("in the log", "missed" if dry_run else "sent")
    rows = [(name, result.read[name], result.missed[name]) for name in request.channels]
    print_table(f"Replay for {group}", ("channel", *columns), rows, right=columns)
    typer.echo(f"up to id {result.last_id} of the log")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    group: str
    channels: list[EventType]
    since_time: dt.datetime | None
    since_id: int
    dry_run: bool


@dataclass(slots=True, kw_only=True)
class _Result:
    """How many events the log had and the group missed, by channel, and the last one's id."""

    last_id: int
    read: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)

    def facts(self, channels: list[EventType]) -> dict[str, object]:
        counts = {
            name.value: {"read": self.read[name], "missed": self.missed[name]} for name in channels
        }
        return {"channels": counts, "last_id": self.last_id}


async def _replay(settings: Settings, request: _Request, *, shown: bool) -> _Result:
    stop = asyncio.Event()
    result = _Result(last_id=request.since_id)
    async with (
        opened_sessions(settings) as sessions,
        _opened_unless(settings, dry_run=request.dry_run) as redis,
    ):
        pages = missed_pages(
            sessions,
            request.group,
            request.channels,
            since_time=request.since_time,
            since_id=request.since_id,
        )
        with progress("events", None, shown=shown) as advance, stopped_by_signals(stop):
            async for page in pages:
                if redis is not None:
                    await resend(redis, request.group, page.missed)
                result.read.update(row.event_type for row in page.rows)
                result.missed.update(row.event_type for row in page.missed)
                result.last_id = page.rows[-1].id
                advance(len(page.rows))
                if stop.is_set():
                    break
    return result


@asynccontextmanager
async def _opened_unless(settings: Settings, *, dry_run: bool) -> AsyncIterator[RedisClient | None]:
    if dry_run:
        yield None
        return
    async with opened_redis(settings) as redis:
        yield redis


def _time(text: str) -> dt.datetime:
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise InvalidFieldError("--since", "must be a time such as 2026-03-10T12:00Z") from None
    if moment.tzinfo is None:
        raise InvalidFieldError("--since", "must say its zone, such as Z for UTC")
    return moment
