"""Events that cannot be handled: undecodable, or the handler raises, or its process dies."""

from __future__ import annotations

import asyncio
from signal import SIGKILL

from cartsnitch_common.events.names import ENTRY_FIELD
from tests.chaos.play import Fault, Play
from tests.chaos.services import KILLS, RAISES
from tests.chaos.stage import STREAM

UNDECODABLE = (b"", b"\xff\xff\xff", b'{"event_type": 1}', b"\x0a\x03abc", b"\x00" * 300)
"""Of the last kinds some parse, as a message without an event in it."""

DELIVERIES = 5


async def poison(play: Play, count: int) -> None:
    """Each is a dead letter in the end, after its deliveries, and nothing else is."""
    stage, score = play.stage, play.score
    (producer,) = [await play.producer()]
    relay = await stage.spawn("relay")
    consumer = await stage.spawn("consumer")
    await play.warm_up()
    await play.watch(producer, relay)
    for number in play.times(count):
        match number % 3:
            case 0:
                data = UNDECODABLE[number // 3 % len(UNDECODABLE)]
                entry = await stage.redis.xadd(STREAM, {ENTRY_FIELD: data})
                score.poison.add(entry.decode())
            case 1:
                producer.order("poison", units=RAISES)
            case _:
                producer.order("poison", units=KILLS)
        play.load(40)
        async with asyncio.timeout(60):
            while not await stage.has_rows("event_dead_letters", number + 1):
                if consumer.gone.is_set():
                    assert await consumer.end() == -SIGKILL
                    consumer = await stage.spawn("consumer")
                await asyncio.sleep(0.01)
        await stage.caught_up()
        score.injected += 1
    said = sum((child.reports for child in stage.children), start=consumer.reports.__class__())
    raising, killing = (score.injected + 1) // 3, score.injected // 3
    score.bitten = score.injected - raising - killing
    score.bitten += min(raising, said["reached poison raises"] // DELIVERIES)
    score.bitten += min(killing, said["reached poison kills"] // DELIVERIES)
    score.notes.append(f"{said['reached poison kills']} processes died of {killing} events")


FAULTS = [
    Fault(
        name="poison: undecodable, always raising, killing the process",
        run=poison,
        short=30,
        long=999,
        least=3_000,
        minutes=9,
    )
]
