"""Processes that are suspended and come back when others have taken over their work."""

from __future__ import annotations

import asyncio
import signal
import time

import psycopg

from cartsnitch_common.events.relay import Point
from tests.chaos.play import Fault, Play

CLAIM = 0.6
"""Unit: seconds after which what a silent consumer has in hand is taken over."""

PAUSED_AT = ("entry read", "effect written", "effect committed", "before ack")
LOST_AT = (str(Point.BEFORE_PUBLISH), str(Point.AFTER_PUBLISH))


async def pause_consumers(play: Play, count: int) -> None:
    """A consumer stops in the midst of an event until another has handled it, and goes on."""
    stage, score = play.stage, play.score
    await play.producer()
    relay = await stage.spawn("relay")

    def options(name: int) -> dict[str, object]:
        return {"claim_after": CLAIM, "name": str(name), "concurrency": 2}

    first = await stage.spawn("consumer", consumer=options(1))
    await play.warm_up()
    await play.watch(relay, first)
    for number in play.times(count):
        point = PAUSED_AT[number % len(PAUSED_AT)]
        there = first.arm(point, passes=play.dice.randint(1, 3), do="stop")
        await play.until_there(there())
        held = await stage.pending_of("1")
        second = await stage.spawn("consumer", consumer=options(2))
        start = time.monotonic()
        play.load(60)  # which must wait for what the first one has in hand
        score.injected += 1
        score.bitten += await _is_taken_over(play, held)
        first.send(signal.SIGCONT)
        await stage.caught_up()
        score.recoveries.append(time.monotonic() - start)
        assert await second.close() == 0


async def _is_taken_over(play: Play, held: set[str]) -> bool:
    """Whether what the first consumer has in hand leaves it: it is stopped, and cannot do that."""

    async def left() -> bool:
        return not held <= await play.stage.pending_of("1")

    try:
        await play.stage.until(left, within=CLAIM + 10)
    except TimeoutError:
        return False
    return True


async def lose_locks(play: Play, count: int) -> None:
    """Of two relays one stops in a batch and loses its locks; it goes on when the other has."""
    stage, score = play.stage, play.score
    await play.producer()
    relays = [await stage.spawn("relay", relay={"batch_size": 50}) for _ in range(2)]
    consumer = await stage.spawn("consumer")
    await play.warm_up()
    await play.watch(consumer, *relays)
    for number in play.times(count):
        point = LOST_AT[number % len(LOST_AT)]
        victim = relays[number % 2]
        there = victim.arm(point, do="stop")
        await play.until_there(there())
        start = time.monotonic()
        ended = await asyncio.to_thread(_end_locks_of, play, victim.name)
        await stage.relayed()
        score.recoveries.append(time.monotonic() - start)
        play.load(60)
        victim.send(signal.SIGCONT)
        await stage.caught_up()
        score.injected += 1
        score.bitten += ended
        score.repeats += 1


def _end_locks_of(play: Play, name: str) -> bool:
    """End the database's side of the connection that a stopped relay has its locks on."""
    with psycopg.connect(play.stage.database_url, autocommit=True) as connection:
        found = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE state = 'idle in transaction'"
            " AND application_name = %s",
            [f"cartsnitch-{name}"],
        ).fetchall()
        return all(
            connection.execute("SELECT pg_terminate_backend(%s, 2000)", row).fetchone() == (True,)
            for row in found
        ) and bool(found)


FAULTS = [
    Fault(
        name="pause a consumer past its claim time",
        run=pause_consumers,
        short=10,
        long=100,
        least=2_500,
        minutes=3,
    ),
    Fault(
        name="two relays, the locks lost",
        run=lose_locks,
        short=10,
        long=100,
        least=4_000,
        limit=2,
        minutes=1.5,
    ),
]
