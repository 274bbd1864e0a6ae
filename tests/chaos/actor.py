"""What runs in a forked process: it plays a role, hears orders and reports on a socket of its own.

Orders and reports are lines of JSON. ``{"arm": point, "passes": n, "do": "kill"}`` makes the
process kill (or stop) itself when it passes a point of the code under test for so manieth
time; it reports that first, so that a fault that did not bite is noticed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from cartsnitch_common.config import Settings
from cartsnitch_common.db.engine import async_engine
from cartsnitch_common.events import async_redis
from cartsnitch_common.events.observe import Outcome, Silent

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis.asyncio import Redis
    from sqlalchemy.ext.asyncio import AsyncEngine

SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


class Actor(Silent):
    """A process of the test: its servers, its orders, and what it tells.

    Attributes:
        orders: What it was born with: its role, its servers, and the role's own.
        stop: Set when it shall come to its end in good order.
        engine: Its database.
        redis: Its Redis.
    """

    def __init__(self, orders: dict[str, Any]) -> None:
        """Connect to the test; to the servers nothing connects yet."""
        self.orders = orders
        self.stop = asyncio.Event()
        self.heard: dict[str, Callable[[Any], None]] = {"stop": lambda _: self.stop.set()}
        self.heard |= {"measure": self._measure, "arm": self._arm, "stacks": self._stacks}
        self._armed: str | None = None
        self._left = 0
        self._signal = signal.SIGKILL
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(orders["socket"])
        self._unread = b""
        self.settings = Settings.load(**orders["settings"], service=orders["name"])
        self.engine: AsyncEngine = async_engine(self.settings, **orders.get("engine", {}))
        self.redis: Redis = async_redis(self.settings)
        self.tell(name=orders["name"], pid=os.getpid())

    async def __aenter__(self) -> Self:
        """Hear orders from here on."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._socket, self._hear)
        loop.add_signal_handler(signal.SIGTERM, self.stop.set)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        """Close what was opened."""
        asyncio.get_running_loop().remove_reader(self._socket)
        await self.redis.aclose()
        await self.engine.dispose()

    def tell(self, **words: Any) -> None:
        """Report, before the next step of this process."""
        with suppress(BrokenPipeError):  # the test has ended, and this process does in a moment
            self._socket.sendall(json.dumps(words).encode() + b"\n")

    async def point(self, name: str) -> None:
        """Pass a point; here the process dies or stops if it was told so."""
        if name != self._armed:
            return
        self._left -= 1
        if self._left == 0:
            self._armed = None
            self.tell(reached=name)
            os.kill(os.getpid(), self._signal)

    # -- what the library tells ---------------------------------------------------

    def settled(self, consumer: str, event_type: str, outcome: Outcome, *, seconds: float) -> None:
        """See ``Observer``."""
        del consumer, event_type, seconds
        if outcome is not Outcome.HANDLED:
            self.tell(settled=outcome.value)

    def outage(self, who: str, server: str) -> None:
        """See ``Observer``."""
        self.tell(outage=server, who=who)

    # -- what the test says -------------------------------------------------------

    def _hear(self) -> None:
        data = self._socket.recv(65536)
        if not data:
            os._exit(1)  # the test is gone, however it ended
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            order = json.loads(line)
            self.heard[order["order"]](order)

    def _arm(self, order: dict[str, Any]) -> None:
        self._armed, self._left = order["point"], order["passes"]
        self._signal = SIGNALS[order["do"]]

    def _measure(self, _order: dict[str, Any]) -> None:
        pool: Any = self.engine.pool
        self.tell(
            measured=True,
            files=open_files(),
            memory=resident_memory(),
            tasks=len(asyncio.all_tasks()),
            checked_out=pool.checkedout(),
        )

    def _stacks(self, _order: dict[str, Any]) -> None:
        """Where every task is, for whoever has to find out why one does not go on."""
        task: Any
        for task in asyncio.all_tasks():
            frames, at = [], task.get_coro()
            while at is not None:
                frame = getattr(at, "cr_frame", None) or getattr(at, "gi_frame", None)
                if frame is not None:
                    frames.append(f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}")
                at = getattr(at, "cr_await", None) or getattr(at, "gi_yieldfrom", None)
            self.tell(stack=f"{task.get_name()}: {' > '.join(frames)} ({task._fut_waiter})"[:900])


class Telling(logging.Handler):
    """Sends the library's warnings to the test."""

    def __init__(self, actor: Actor) -> None:
        super().__init__(logging.INFO)
        self._actor = actor

    def emit(self, record: logging.LogRecord) -> None:
        """Send one line."""
        self._actor.tell(log=record.getMessage()[:300])


def open_files() -> int:
    """How many files and sockets this process has open."""
    return len(os.listdir("/dev/fd"))  # noqa: PTH208 - only their number is wanted


def resident_memory() -> int:
    """Unit: bytes. Where the system does not tell what it is now, the most it ever was."""
    pages = Path("/proc/self/statm")
    if pages.exists():
        return int(pages.read_text().split()[1]) * resource.getpagesize()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
