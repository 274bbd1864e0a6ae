"""Work on many keys at once, in order within each key."""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import count
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

_LAST: Final = (2**63, "")

type Take[T] = Callable[[], T | None]
"""Gives a worker its next item, if one is ready, and at most one.

Nobody else gets it, and it is worked on next, even if a stop comes in between.
"""


class Lanes[T]:
    """A queue for each key that has work, and a few workers for all of them.

    The oldest item whose key is free comes first; with one worker that is the order in
    which they were put in. A key that has to wait for its next try occupies no worker:
    it holds up what stands behind it in its own queue, and nothing else.

    A worker that is about to end an item may take the next one already; see ``Take``.
    """

    def __init__(
        self,
        work: Callable[[T, Take[T]], Awaitable[float | None]],
        *,
        concurrency: int,
        stop: asyncio.Event,
    ) -> None:
        """Start the workers.

        Args:
            work: Works on an item, and may take the next. It returns None when it is done
                with, or how many seconds to wait before it is called with it again.
            concurrency: How many items are worked on at once.
            stop: Once it is set, no item is begun.
        """
        self._work = work
        self._numbers = count()
        self._queues: dict[str, deque[tuple[int, T]]] = {}
        self._ready: asyncio.PriorityQueue[tuple[int, str]] = asyncio.PriorityQueue()
        self._stop = stop
        self._closing = False
        self._workers = [asyncio.create_task(self._run()) for _ in range(concurrency)]
        self._watched = [*self._workers]

    def put(self, key: str, item: T) -> None:
        """Append an item to its key's queue."""
        numbered = (next(self._numbers), item)
        queue = self._queues.get(key)
        if queue is None:
            self._queues[key] = deque([numbered])
            self._ready.put_nowait((numbered[0], key))
        else:
            queue.append(numbered)

    def watch(self, tasks: Iterable[asyncio.Task[None]]) -> None:
        """Let ``check`` raise what these tasks fail with, too."""
        self._watched += tasks

    def check(self) -> None:
        """Raise what a worker or a watched task failed with, if one did."""
        for task in self._watched:
            if task.done() and not task.cancelled():
                failure = task.exception()
                if failure is not None:
                    raise failure

    async def close(self, *, grace: float) -> None:
        """Let the items under way come to their end; the others are not begun.

        Args:
            grace: Unit: seconds after which what is still under way is cancelled.
        """
        self._closing = True
        for _ in self._workers:
            self._ready.put_nowait(_LAST)  # wakes a worker that waits
        await asyncio.wait(self._workers, timeout=grace)
        await self.cancel()

    async def cancel(self) -> None:
        """End at once what is under way."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    async def _run(self) -> None:
        taken: list[str] = []

        def take() -> T | None:
            if taken or self._ended or self._ready.empty():
                return None
            taken.append(self._ready.get_nowait()[1])
            return self._queues[taken[0]][0][1]

        while True:
            if taken:
                key = taken.pop()
            else:
                _, key = await self._ready.get()
                if self._ended:
                    return
            await self._step(key, take)

    @property
    def _ended(self) -> bool:
        return self._closing or self._stop.is_set()

    async def _step(self, key: str, take: Take[T]) -> None:
        queue = self._queues[key]
        number, item = queue[0]
        pause = await self._work(item, take)
        if pause is not None:
            again = (number, key)
            asyncio.get_running_loop().call_later(pause, self._ready.put_nowait, again)
            return
        queue.popleft()
        if queue:
            self._ready.put_nowait((queue[0][0], key))
        else:
            del self._queues[key]
