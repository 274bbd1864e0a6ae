"""`cartsnitch events lag`: how far behind the relay and the consumers are."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cartsnitch_common.cli.options import AsJson
from cartsnitch_common.cli.servers import opened_redis, opened_sessions
from cartsnitch_common.cli.tables import print_table, seconds
from cartsnitch_common.config import Settings
from cartsnitch_common.events.lag import measure

if TYPE_CHECKING:
    from cartsnitch_common.events.lag import Lag

BEHIND: Final = 4
"""The exit code for what is further behind than allowed."""


def lag(
    *,
    most: Annotated[
        float | None,
        typer.Option("--max-seconds", min=0, help="Exit code 4 if an event waits longer."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what waits in the outbox, on the streams and in consumers' hands, and how long.

    Without CARTSNITCH_DATABASE_URL it looks at Redis alone. Exit code 4 if --max-seconds
    is given and an event has waited longer, anywhere; dead letters wait for nobody.
    """
    found = asyncio.run(_measure(Settings.load()))
    if as_json:
        typer.echo(json.dumps(asdict(found) | {"seconds": found.seconds}))
    else:
        _print(found)
    if most is not None and found.seconds > most:
        raise typer.Exit(BEHIND)


async def _measure(settings: Settings) -> Lag:
    async with opened_redis(settings) as redis:
        if settings.database_url is None:
            return await measure(None, redis)
        async with opened_sessions(settings) as sessions, sessions() as session:
            return await measure(session, redis)


def _print(found: Lag) -> None:
    if found.outbox is None:
        typer.echo("CARTSNITCH_DATABASE_URL is not set: Redis alone is looked at", err=True)
    else:
        waiting = found.outbox
        typer.echo(f"outbox: {waiting.waiting} events wait, for {seconds(waiting.seconds)}")
    print_table("Streams", ("channel", "entries"), found.streams.items(), right=["entries"])
    numbers = ("unread", "pending", "oldest", "idle")
    rows = [
        (
            group.event_type,
            group.group,
            "unknown" if group.unread is None else group.unread,
            group.pending,
            seconds(group.seconds),
            seconds(group.idle_seconds),
        )
        for group in found.groups
    ]
    print_table("Groups", ("channel", "group", *numbers), rows, right=numbers)
    if found.dead_letters is not None:
        dead = found.dead_letters.items()
        print_table("Dead letters", ("consumer", "letters"), dead, right=["letters"])
