"""`cartsnitch events publish`: one event by hand, held against the contract."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cartsnitch_common.cli.options import AsJson
from cartsnitch_common.cli.servers import opened_redis, opened_sessions
from cartsnitch_common.config import Settings, setting_name
from cartsnitch_common.constants import EventType
from cartsnitch_common.contract import find_binding, from_json, violations
from cartsnitch_common.errors import EventTooLargeError, InputError, SettingError
from cartsnitch_common.events.envelope import MAX_SIZE
from cartsnitch_common.events.outbox import enqueue
from cartsnitch_common.events.publishing import publish as publish_now

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from cartsnitch.event.v1 import Envelope


def publish(
    channel: Annotated[EventType, typer.Argument(help="The event's channel.", metavar="CHANNEL")],
    file: Annotated[
        Path, typer.Argument(help="The payload's JSON form; - reads standard input.")
    ] = Path("-"),
    *,
    key: Annotated[str, typer.Option(help="What the event is about; orders events.")],
    service: Annotated[
        str | None,
        typer.Option(help="The publisher; by default CARTSNITCH_SERVICE. The contract says who."),
    ] = None,
    correlation_id: Annotated[
        str | None, typer.Option(metavar="ID", help="What the event belongs to.")
    ] = None,
    direct: Annotated[
        bool, typer.Option("--direct", help="Publish at once, by pub/sub alone; nothing is kept.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Publish one event, checked against the contract first.

    It goes through the outbox, in a transaction of its own: the relay puts it on the
    channel and on the stream. --direct needs no database, and reaches only who listens now.
    Exit code 2 if the payload breaks a rule, with one line for each field; 1 if the service
    may not publish the event.
    """
    settings = Settings.load()
    publisher = service or settings.service
    if publisher is None:
        raise SettingError(setting_name("service"), "is not set, and no --service is given")
    payload = _payload(channel, _read(file))
    context = {} if correlation_id is None else {"correlation_id": correlation_id}
    sending = _direct if direct else _enqueue
    envelope = asyncio.run(sending(settings, payload, service=publisher, key=key, **context))
    if as_json:
        facts = {"event_id": envelope.event_id, "event_type": channel.value, "direct": direct}
        typer.echo(json.dumps(facts))
    else:
        where = "published to who listens now" if direct else "in the outbox, for the relay"
        typer.echo(f"event {envelope.event_id} is {where}")


def _read(file: Path) -> bytes:
    try:
        if str(file) == "-":
            data = sys.stdin.buffer.read(MAX_SIZE + 1)
        else:
            with file.open("rb") as opened:
                data = opened.read(MAX_SIZE + 1)
    except OSError as error:
        raise InputError(f"FILE: cannot be read ({type(error).__name__})") from None
    if len(data) > MAX_SIZE:
        raise EventTooLargeError(size=len(data), limit=MAX_SIZE)
    return data


def _payload(channel: EventType, data: bytes) -> Message:
    payload = from_json(find_binding(channel).payload, data)
    broken = violations(payload)
    for violation in broken[1:]:
        typer.echo(str(violation), err=True)
    if broken:
        raise broken[0]
    return payload


async def _enqueue(settings: Settings, payload: Message, **event: Any) -> Envelope:
    async with opened_sessions(settings) as sessions, sessions.begin() as session:
        return await enqueue(session, payload, **event)


async def _direct(settings: Settings, payload: Message, **event: Any) -> Envelope:
    async with opened_redis(settings) as redis:
        return await publish_now(redis, payload, **event)
