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
    from collections.abc import Mapping, Sequence

    from cartsnitch_common.events.client import RedisClient
    from cartsnitch_common.events.resp import Replies


type Command = tuple[bytes, ...]
type Outcome = Sequence[tuple[RedisError | None, RedisError | None]] | RedisError
"""Of a channel's events: why each is not on the stream, and why it was not heard; or why none
is out."""

_MULTI: Final = pack(b"MULTI")
_EXEC: Final = pack(b"EXEC")
_EMPTY_WORD: Final = b"$0\r\n\r\n"


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

    unheard: dict[str, RedisError]
    """Those whose events are on their streams, and that may not be published on."""


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
    if isinstance(redis, ClusterClient):
        outcomes = await _transact_in_cluster(redis, channels, oldest)
    else:
        outcomes = await _transact_packed(redis, channels, oldest)
    published = Published([], {}, {})
    for (channel, of_one), outcome in zip(channels.items(), outcomes, strict=True):
        if isinstance(outcome, RedisError):
            published.refused[channel] = outcome
            continue
        # What fails within a transaction fails for all of its stream: a key of another type.
        for event, (kept, heard) in zip(of_one, outcome, strict=True):
            if kept is not None:
                published.refused.setdefault(channel, kept)
                continue
            published.ids.append(event.id)  # to add it again would double it
            if heard is not None:
                published.unheard.setdefault(channel, heard)
    return published


def _commands(channel: str, oldest: bytes) -> tuple[Command, Command, Command]:
    """XADD that also trims what is older, XADD, and PUBLISH; each but for the envelope."""
    stream = stream_name(channel).encode()
    return (
        (b"XADD", stream, b"MINID", b"~", oldest, b"*", ENTRY_FIELD),
        (b"XADD", stream, b"*", ENTRY_FIELD),
        (b"PUBLISH", channel.encode()),
    )


async def _transact_packed(
    redis: Any, channels: Mapping[str, Sequence[Pending]], oldest: bytes
) -> list[Outcome]:
    """All in one write."""
    parts: list[bytes] = []
    for channel, events in channels.items():
        add, add_next, say = (
            pack(*command, b"").removesuffix(_EMPTY_WORD) for command in _commands(channel, oldest)
        )
        parts.append(_MULTI)
        for event in events:
            word = b"$%d\r\n%b\r\n" % (len(event.envelope), event.envelope)
            parts += (add, word, say, word)
            add = add_next
        parts.append(_EXEC)

    async def read(replies: Replies) -> list[Outcome]:
        found = [await replies.transaction(2 * len(events)) for events in channels.values()]
        return [
            each if isinstance(each, RedisError) else [*zip(each[::2], each[1::2], strict=True)]
            for each in found
        ]

    return await exchange(redis, [b"".join(parts)], read)


async def _transact_in_cluster(
    redis: ClusterClient, channels: Mapping[str, Sequence[Pending]], oldest: bytes
) -> list[Outcome]:
    """Each on its channel's node; one that is down holds up no other.

    First what is kept, then what is heard: in a transaction with PUBLISH a node that gives its
    slot away does not say that the stream has left already, and begins a second one.
    """

    async def run(channel: str, events: Sequence[Pending]) -> Outcome:
        add, add_next, _ = _commands(channel, oldest)
        try:
            async with redis.pipeline(transaction=True) as pipe:
                for event in events:
                    pipe.execute_command(*add, event.envelope)
                    add = add_next
                replies: list[Any] = await pipe.execute(raise_on_error=False)
            kept = [reply if isinstance(reply, RedisError) else None for reply in replies]
            if any(kept):
                return [(refusal, None) for refusal in kept]
            heard = await redis.say(channel, [event.envelope for event in events])
        except RedisError as error:
            return error
        return [(None, refusal) for refusal in heard]

    return await asyncio.gather(*(run(*channel) for channel in channels.items()))
