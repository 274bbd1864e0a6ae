"""A consumer that is far slower than what comes."""

from __future__ import annotations

import time

from tests.chaos.play import MEMORY, Fault, Play

BACKLOG = 50_000


async def fall_behind(play: Play, count: int) -> None:
    """Fifty thousand events wait in the outbox, then on the stream; no process grows by them."""
    stage, score = play.stage, play.score
    for _ in play.times(count):
        producer = await play.producer(pause=0, most=20, tasks=4)
        play.load(BACKLOG)
        await stage.until(lambda: stage.has_rows("ledger", BACKLOG), within=600, step=0.5)
        waiting = await stage.scalar("SELECT count(*) FROM event_outbox")
        relay = await stage.spawn("relay")
        before = await relay.measure()
        start = time.monotonic()
        await stage.relayed(within=300)
        seconds = time.monotonic() - start
        grown = (await relay.measure())["memory"] - before["memory"]
        consumer = await stage.spawn("consumer", rest=0.001)
        await play.watch(producer, relay, consumer)
        await stage.until(lambda: stage.has_rows("effects", BACKLOG), within=1_800, step=1)
        await stage.quiet(within=900)  # what the log gave first comes from the stream as well
        score.injected += 1
        score.bitten += waiting >= BACKLOG and grown < MEMORY
        score.notes.append(f"relayed in {seconds:.0f} s, the relay grew by {grown >> 20} MiB")


FAULTS = [Fault(name="slow consumer, 50,000 behind", run=fall_behind, short=0, long=1, minutes=5)]
