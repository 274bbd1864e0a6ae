"""Tasks that are cancelled at a random await of theirs."""

from __future__ import annotations

from tests.chaos.play import Fault, Play


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
    await victim.hears("cancelled", within=60 + count / 4)
    names = ("produce", "relay", "consume")
    score.injected = count
    score.bitten = sum(victim.reports[f"settled cancel {name}"] for name in names)
    score.notes.append(f"at rest {before}, then {await victim.measure()}")
    await play.watch(victim)
    await stage.spawn("relay")
    await stage.spawn("consumer")


FAULTS = [Fault(name="cancel tasks at random awaits", run=cancel, short=1_000, long=20_000)]
