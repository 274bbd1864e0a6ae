"""A process in which tasks are cancelled at a random await of theirs."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine, Generator
from types import coroutine
from typing import Any

from cartsnitch_common.db.engine import async_sessions
from cartsnitch_common.events.asyncpg_inbox import AsyncpgInbox
from cartsnitch_common.events.inbox import SqlInbox
from tests.chaos.actor import Actor
from tests.chaos.services import Producer, consumer_of, relay_of

MOST = {"produce": 8, "relay": 40, "consume": 40, "consume by asyncpg": 40}
"""How often each kind of task is suspended in the work that it has, or a little less."""

LONGEST = 0.1
"""Unit: seconds after which a task that waits is cancelled, wherever it waits."""


@coroutine
def cancelled_at(work: Coroutine[Any, Any, Any], nth: int) -> Generator[Any, Any, Any]:
    """Run a coroutine, and cancel its task when it is suspended for so manieth time."""
    task = asyncio.current_task()
    assert task is not None
    suspensions, send, value = 0, work.send, None
    while True:
        try:
            waited = send(value)
        except StopIteration as end:
            return end.value
        suspensions += 1
        if suspensions == nth:
            task.cancel()
        try:
            value, send = (yield waited), work.send
        except BaseException as error:  # noqa: BLE001 - it is passed on to the coroutine
            value, send = error, work.throw


async def cancel_again_and_again(actor: Actor) -> None:
    """Cancel one task after the other, on the connections of one pool."""
    dice = random.Random("cancels")  # noqa: S311 - no secret depends on it
    producer = Producer(actor)
    by_session, by_asyncpg = SqlInbox(async_sessions(actor.engine)), AsyncpgInbox(actor.engine)
    works = {
        "produce": lambda: producer.transact(dice),
        "relay": lambda: relay_of(actor).run(actor.stop),
        "consume": lambda: consumer_of(actor, by_session).run(actor.stop),
        "consume by asyncpg": lambda: consumer_of(actor, by_asyncpg).run(actor.stop),
    }
    enough = asyncio.Event()
    actor.heard["enough"] = lambda _: enough.set()
    number, cancelled = 0, 0
    while cancelled < actor.orders["cancels"] and not enough.is_set():
        name = [*works][number % len(works)]
        number += 1
        if name != "produce":
            await producer.transact(dice)
        nth = dice.randint(1, MOST[name])
        task = asyncio.create_task(_held(cancelled_at(works[name](), nth)))
        done, _ = await asyncio.wait({task}, timeout=LONGEST)
        if not done:
            task.cancel()
            await asyncio.wait({task})
        if task.cancelled():
            cancelled += 1
            actor.tell(settled=f"cancel {name}")
        elif failure := task.exception():
            raise failure
    await by_asyncpg.aclose()
    actor.tell(cancelled=True)
    await actor.stop.wait()


async def _held(work: Any) -> Any:
    return await work
