"""Tasks that are cancelled at a random await of theirs."""

from __future__ import annotations

from tests.chaos.play import Fault, Play

KINDS = ("produce", "relay", "consume", "consume by asyncpg")


async def cancel(play: Play, count: int) -> None:
    """Tasks that produce, relay and consume are cancelled; then all is done in peace."""
    stage, score = play.stage, play.score
    orders = {
        "tasks": 0,
        "pause": 0,
        "most": 4,
        "seed": 0,
        "consumer": {"block": 0.02},
        "relay": {"poll_interval": 0.01},
    }
    victim = await stage.spawn("canceller", cancels=count, **orders)
    await victim.hears("begun")
    before = await victim.measure()

    async def is_enough() -> bool:
        if play.is_late and cancelled() >= play.fewest:
            victim.order("enough")
        return victim.reports["cancelled"] > 0

    def cancelled() -> int:
        return sum(victim.reports[f"settled cancel {name}"] for name in KINDS)

    await stage.until(is_enough, within=60 + count / 4, step=0.1)
    score.injected = score.bitten = cancelled()
    if not play.is_late:
        score.injected = count
    score.notes.append(f"at rest {before}, then {await victim.measure()}")
    await play.watch(victim)
    await stage.spawn("relay")
    await stage.spawn("consumer")


FAULTS = [
    Fault(name="cancel tasks at random awaits", run=cancel, short=1_000, long=20_000, minutes=14)
]
