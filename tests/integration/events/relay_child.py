"""A relay in a process of its own: ``relay_child.py [signal point]``.

It says ``ready`` and relays until it is told to stop. With a signal, such as SIGSTOP or
SIGKILL, it sends that to itself when it first reaches the point.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from cartsnitch_common.config import Settings
from cartsnitch_common.events.relay import Point, Relay

ORDERS = sys.argv[1:]


class Child(Relay):
    """A relay that gives itself a signal, once."""

    async def _reach(self, point: Point) -> None:
        if point in ORDERS:
            number = signal.Signals[ORDERS[0]]
            ORDERS.clear()
            os.kill(os.getpid(), number)


async def main() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    print("ready", flush=True)  # noqa: T201 - the test reads it
    await Child(Settings.load()).run(stop)


if __name__ == "__main__":
    asyncio.run(main())
