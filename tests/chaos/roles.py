"""What the processes do, by role."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from tests.chaos.actor import Actor, Telling
from tests.chaos.canceller import cancel_again_and_again
from tests.chaos.services import Producer, consumer_of, inbox_of, relay_of


async def _produce(actor: Actor) -> None:
    await Producer(actor).run()


async def _relay(actor: Actor) -> None:
    await relay_of(actor).run(actor.stop)


async def _consume(actor: Actor) -> None:
    await consumer_of(actor, inbox_of(actor)).run(actor.stop)


ROLES: dict[str, Callable[[Actor], Awaitable[None]]] = {
    "producer": _produce,
    "relay": _relay,
    "consumer": _consume,
    "canceller": cancel_again_and_again,
}


async def _play(orders: dict[str, Any]) -> None:
    actor = Actor(orders)
    log = logging.getLogger("cartsnitch_common")
    log.addHandler(Telling(actor))
    log.setLevel(logging.WARNING)
    log.propagate = False
    async with actor:
        await ROLES[orders["role"]](actor)


def perform(orders: dict[str, Any]) -> None:
    """Play a role to its end."""
    asyncio.run(_play(orders))
