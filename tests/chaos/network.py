"""The network between the processes and their servers: cut, one answer lost, half open."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from tests.chaos.outages import cast
from tests.chaos.play import Fault, Play

SILENCES = 10
"""One of so many faults is a half-open connection, which costs a socket's whole timeout."""

ANSWERS = (
    (1, b"EXEC\r\n"),  # the relay does not know what is published
    (0, b"COMMIT"),  # nobody knows what is committed
    (1, b"XACK\r\n"),
    (1, b"XREADGROUP\r\n"),  # entries are delivered that nobody got
    (0, b"BEGIN"),
)
"""Whose answer is lost: the proxy's number, and a word of the request."""


async def break_network(play: Play, count: int) -> None:
    """By turns all connections are cut, an answer is lost, or connections fall silent."""
    stage, score = play.stage, play.score
    await cast(play)
    for number in play.times(count):
        play.load(40)
        await asyncio.sleep(play.dice.uniform(0, 0.1))
        score.injected += 1
        match number % SILENCES:
            case 0:
                score.bitten += await _hits(play, stage.proxies[number // SILENCES % 2].fall_silent)
            case 1 | 3 | 5 | 7 | 9:
                score.bitten += await _hits(play, stage.proxies[number // 2 % 2].cut)
            case turn:
                proxy, word = ANSWERS[(number // SILENCES * 4 + turn // 2) % len(ANSWERS)]
                losing = asyncio.create_task(stage.proxies[proxy].lose_answer(word, within=60))
                await play.until_there(losing)  # who has nothing to do asks nothing
                score.bitten += losing.result()
                score.repeats += word == b"EXEC\r\n"
        start = time.monotonic()
        await stage.caught_up()
        score.recoveries.append(time.monotonic() - start)


async def _hits(play: Play, breaking: Callable[[], int]) -> bool:
    """Break what there is, as soon as there is a connection to break."""

    async def hit() -> bool:
        return breaking() > 0

    await play.stage.until(hit, within=20, step=0.005)
    return True


FAULTS = [
    Fault(
        name="cut the network, lose an answer, leave it half open",
        run=break_network,
        short=60,
        long=600,
        least=3_000,
        proxied=True,
        limit=15,
        minutes=7,
    )
]
