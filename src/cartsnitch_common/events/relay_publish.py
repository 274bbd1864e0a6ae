"""Publishes pending events on Redis: each on its stream and its channel, in order."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from redis.exceptions import RedisError

from cartsnitch_common.contract.bindings import stream_name
from cartsnitch_common.events.client import ClusterClient
from cartsnitch_common.events.names import ENTRY_FIELD
from cartsnitch_common.events.resp import exchange, pack

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from cartsnitch_common.events.client import RedisClient


type Outcome = list[RedisError | None] | RedisError
"""Of a transaction: an error or None for each of its commands, or why none was run."""

_MULTI: Final = pack(b"MULTI")
_EXEC: Final = pack(b"EXEC")


class Pending(NamedTuple):
    """An event in the outbox."""

    id: int
    event_type: str
    envelope: bytes


class Published(NamedTuple):
    """What became of events."""

    ids: list[int]
    """Of the events that are out."""

    refused: dict[str, RedisError]
    """The channels of which none or not all is out, and why."""


async def publish(
    redis: RedisClient, events: Sequence[Pending], retention: dt.timedelta
) -> Published:
    """Publish events, those of a channel in one transaction of Redis.

    So that no event of a key is out before an earlier one, when Redis refuses one
    command and takes the next, say while it runs out of memory. What it refuses in
    one channel holds up no other.

    Args:
        redis: The client.
        events: In the order in which they go out.
        retention: How long an entry stays in its stream.

    Raises:
        RedisError: The connection was lost: nobody knows what is out.
    """
    channels: dict[str, list[Pending]] = {}
    for event in events:
        channels.setdefault(event.event_type, []).append(event)
    oldest = b"%d" % ((time.time() - retention.total_seconds()) * 1000)
    commands = [_commands(channel, of_one, oldest) for channel, of_one in channels.items()]
    if isinstance(redis, ClusterClient):
        outcomes = await _transact_in_cluster(redis, commands)
    else:
        outcomes = await _transact_packed(redis, commands)
    published = Published([], {})
    for (channel, of_one), outcome in zip(channels.items(), outcomes, strict=True):
        if isinstance(outcome, RedisError):
            published.refused[channel] = outcome
            continue
        # What fails within a transaction fails for all of its stream: a key of another type.
        for event, *errors in zip(of_one, outcome[::2], outcome[1::2], strict=True):
            if error := errors[0] or errors[1]:
                published.refused.setdefault(channel, error)
            else:
                published.ids.append(event.id)
    return published


def _commands(channel: str, events: Sequence[Pending], oldest: bytes) -> list[tuple[bytes, ...]]:
    """For each event XADD and PUBLISH; the first one trims what is older."""
    stream, name = stream_name(channel).encode(), channel.encode()
    commands: list[tuple[bytes, ...]] = []
    trim: tuple[bytes, ...] = (b"MINID", b"~", oldest)
    for event in events:
        commands.append((b"XADD", stream, *trim, b"*", ENTRY_FIELD, event.envelope))
        commands.append((b"PUBLISH", name, event.envelope))
        trim = ()
    return commands


async def _transact_packed(
    redis: Any, transactions: Sequence[Sequence[tuple[bytes, ...]]]
) -> list[Outcome]:
    """All in one write."""
    parts: list[bytes] = []
    for commands in transactions:
        parts += (_MULTI, *(pack(*command) for command in commands), _EXEC)
    async with exchange(redis, b"".join(parts)) as replies:
        return [await replies.transaction(len(commands)) for commands in transactions]


async def _transact_in_cluster(
    redis: ClusterClient, transactions: Sequence[Sequence[tuple[bytes, ...]]]
) -> list[Outcome]:
    """Each on its channel's node; one that is down holds up no other."""

    async def run(commands: Sequence[tuple[bytes, ...]]) -> Outcome:
        async with redis.pipeline(transaction=True) as pipe:
            for command in commands:
                pipe.execute_command(*command)
            try:
                replies: list[Any] = await pipe.execute(raise_on_error=False)
            except RedisError as error:
                return error
        return [reply if isinstance(reply, RedisError) else None for reply in replies]

    return await asyncio.gather(*(run(commands) for commands in transactions))
