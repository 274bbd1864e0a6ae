"""Sealed events to Redis: sent once, with the outcome of each."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import cache
from itertools import batched
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import RedisError, ResponseError

from cartsnitch_common.errors import EventInDoubtError, ServerUnavailableError
from cartsnitch_common.events.client import ClusterClient, redis_reason
from cartsnitch_common.events.client.cluster import SyncClusterClient
from cartsnitch_common.events.client.failures import SETTING
from cartsnitch_common.events.leases import give_sync, take_sync
from cartsnitch_common.events.observe import SILENT
from cartsnitch_common.events.resp import END, AnswerLostError, exchange, pack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cartsnitch_common.events.client import RedisClient, SyncRedisClient
    from cartsnitch_common.events.observe import Observer
    from cartsnitch_common.events.sealing import Sealed

    type Outcome = ServerUnavailableError | None

MOST_BYTES: Final = 4 * 1024 * 1024
"""The most envelopes of one write together, so that it is sent well within the timeout."""
_PORTION: Final = 200
"""Events that are packed at once. Redis works on them while the next are packed."""


async def send(redis: RedisClient, events: Sequence[Sealed], observer: Observer) -> list[Outcome]:
    """Publish events in their order, each once, and tell of those that are out.

    Returns:
        For each event None, or why it is not published; an ``EventInDoubtError`` if
        it may be.
    """
    if not events:
        return []
    write: Any = _write_to_cluster if isinstance(redis, ClusterClient) else _write
    outcomes: list[Outcome] = []
    for some in _writes(events):
        outcomes += await write(redis, some)
    if observer is not SILENT:
        out = zip(events, outcomes, strict=True)
        counts = Counter(event.event_type for event, failure in out if failure is None)
        for event_type, count in counts.items():
            observer.published(event_type, count)
    return outcomes


def send_sync(redis: SyncRedisClient, event: Sealed) -> Outcome:
    """``send`` of one event, for code without asyncio."""
    if isinstance(redis, SyncClusterClient):
        return _send_sync_to_cluster(redis, event)
    try:
        connection = take_sync(redis)
    except (RedisError, OSError) as error:
        return _failure(error)
    try:
        connection.send_packed_command([_pack([event])])
        connection.read_response(disable_decoding=True)
    except ResponseError as error:
        return _failure(error)
    except BaseException as error:
        connection.disconnect()
        if isinstance(error, (RedisError, OSError)):
            return _failure(error, EventInDoubtError)
        raise
    finally:
        give_sync(redis, connection)
    return None


def _send_sync_to_cluster(redis: SyncRedisClient, event: Sealed) -> Outcome:
    try:
        redis.publish(event.event_type, event.data)
    except ResponseError as error:
        return _failure(error)
    except (RedisError, OSError) as error:
        return _failure(error, EventInDoubtError)
    return None


def _writes(events: Sequence[Sealed]) -> list[Sequence[Sealed]]:
    """The events in parts that are small enough for one write."""
    if sum([len(event.data) for event in events]) <= MOST_BYTES:
        return [events]
    writes, start, size = [], 0, 0
    for place, event in enumerate(events):
        size += len(event.data)
        if size > MOST_BYTES and place > start:
            writes.append(events[start:place])
            start, size = place, len(event.data)
    writes.append(events[start:])
    return writes


async def _write(redis: Any, events: Sequence[Sealed]) -> list[Outcome]:
    """One write to the server."""
    portions = map(_pack, batched(events, _PORTION))
    try:
        refusals = await exchange(redis, portions, lambda replies: replies.read(len(events)))
    except AnswerLostError as error:
        return [_failure(error, EventInDoubtError) for _ in events]
    except (RedisError, OSError) as error:
        return [_failure(error) for _ in events]
    return [None if refusal is None else _failure(refusal) for refusal in refusals]


async def _write_to_cluster(redis: ClusterClient, events: Sequence[Sealed]) -> list[Outcome]:
    """One write for each channel, on its node; one that is down holds up no other.

    redis-py's plain pipeline of a Cluster repeats what it has sent.
    """
    channels: dict[str, list[int]] = {}
    for place, event in enumerate(events):
        channels.setdefault(event.event_type, []).append(place)
    outcomes: list[Outcome] = [None] * len(events)

    async def write(places: list[int]) -> None:
        channel = events[places[0]].event_type
        try:
            refusals = await redis.say(channel, [events[place].data for place in places])
        except (RedisError, OSError) as error:
            for place in places:
                outcomes[place] = _failure(error, EventInDoubtError)
            return
        for place, refusal in zip(places, refusals, strict=True):
            if refusal is not None:
                outcomes[place] = _failure(refusal)

    await asyncio.gather(*map(write, channels.values()))
    return outcomes


def _pack(events: Sequence[Sealed]) -> bytes:
    """The commands that publish events; each line and each envelope ends as a line does."""
    lines: list[bytes] = []
    for _, channel, data in events:
        lines += (_publish_on(channel), b"$%d" % len(data), data)
    lines.append(b"")
    return END.join(lines)


@cache
def _publish_on(channel: str) -> bytes:
    """The command up to the end of its channel, without the end of the line."""
    return pack(b"PUBLISH", channel.encode(), more=1).removesuffix(END)


def _failure(
    error: BaseException, kind: type[ServerUnavailableError] = ServerUnavailableError
) -> ServerUnavailableError:
    reason = redis_reason(error)
    if kind is EventInDoubtError:
        reason = f"the event may have been published: {reason}"
    failure = kind(SETTING, reason)
    failure.__cause__ = error
    return failure
