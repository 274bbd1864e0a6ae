"""Processes that are killed at the named points of their work."""

from __future__ import annotations

import time
from signal import SIGKILL

from cartsnitch_common.events.delivery import FAULT_POINTS
from cartsnitch_common.events.relay import Point
from tests.chaos.play import Fault, Play
from tests.chaos.services import PRODUCER_POINTS

RELAY_POINTS = tuple(str(point) for point in Point)
CONSUMER_POINTS = FAULT_POINTS

PUBLISHED = {str(Point.AFTER_PUBLISH), str(Point.MOVED)}
"""A relay that dies here has published what another one will publish again."""
COMMITTED = {"effect committed", "before ack"}
"""A consumer that dies here has committed what will be delivered again."""


async def kill_producers(play: Play, count: int) -> None:
    """Of two producers, which wait for each other's keys, one dies in a transaction."""
    stage, score = play.stage, play.score
    producers = [await play.producer() for _ in range(2)]
    others = [await stage.spawn("relay"), await stage.spawn("consumer")]
    await play.warm_up()
    await play.watch(*others)
    for number in play.times(count):
        point = PRODUCER_POINTS[number % len(PRODUCER_POINTS)]
        victim = producers.pop(0)
        victim.arm(point, passes=play.dice.randint(1, 6))
        await play.until_there(victim.end())
        start = time.monotonic()
        play.lose(victim)
        score.injected += 1
        score.bitten += victim.code == -SIGKILL and victim.reports[f"reached {point}"] == 1
        score.points[f"producer: {point}"] += 1
        producers.append(await play.producer())
        play.load(70)
        await stage.caught_up()
        score.recoveries.append(time.monotonic() - start)


async def kill_relays(play: Play, count: int) -> None:
    """Two relays share the work; one of them dies, and is replaced."""
    stage, score = play.stage, play.score
    await play.producer()
    relays = [await stage.spawn("relay", relay={"batch_size": 50}) for _ in range(2)]
    consumer = await stage.spawn("consumer")
    await play.warm_up()
    await play.watch(consumer)
    for number in play.times(count):
        point = RELAY_POINTS[number % len(RELAY_POINTS)]
        victim = relays.pop(0)
        victim.arm(point, passes=play.dice.randint(1, 3))
        play.load(70)
        await play.until_there(victim.end())
        score.injected += 1
        score.bitten += victim.code == -SIGKILL and victim.reports[f"reached {point}"] == 1
        score.points[f"relay: {point}"] += 1
        score.repeats += point in PUBLISHED
        score.recoveries.append(await stage.relayed())
        relays.append(await stage.spawn("relay", relay={"batch_size": 50}))


async def kill_consumers(play: Play, count: int) -> None:
    """The consumer dies and is started again, under its name."""
    stage, score = play.stage, play.score
    await play.producer()
    relay = await stage.spawn("relay")
    consumer = await stage.spawn("consumer")
    await play.warm_up()
    await play.watch(relay)
    for number in play.times(count):
        point = CONSUMER_POINTS[number % len(CONSUMER_POINTS)]
        most = 30 if point.startswith("effect") else 4  # each event, or each batch of them
        consumer.arm(point, passes=play.dice.randint(1, most))
        play.load(40)
        await play.until_there(consumer.end())
        start = time.monotonic()
        score.injected += 1
        score.bitten += consumer.code == -SIGKILL and consumer.reports[f"reached {point}"] == 1
        score.points[f"consumer: {point}"] += 1
        score.repeats += point in COMMITTED
        consumer = await stage.spawn("consumer")
        await stage.caught_up()
        score.recoveries.append(time.monotonic() - start)


FAULTS = [
    Fault(
        name="kill the producer at three named points",
        run=kill_producers,
        short=6,
        long=60,
        least=1_000,
        limit=5,
        minutes=0.7,
    ),
    Fault(
        name="kill the relay at five named points",
        run=kill_relays,
        short=20,
        long=100,
        least=4_000,
        limit=2,
        minutes=1.5,
    ),
    Fault(
        name="kill the consumer at five named points",
        run=kill_consumers,
        short=20,
        long=100,
        least=2_500,
        limit=5,
        minutes=1.5,
    ),
]
