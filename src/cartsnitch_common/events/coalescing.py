"""One publisher for many tasks of a process: what they publish at once goes out in one write."""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING, Final, Self, Unpack

from cartsnitch_common.errors import EventInDoubtError, SetupError
from cartsnitch_common.events.client.failures import SETTING
from cartsnitch_common.events.observe import SILENT
from cartsnitch_common.events.sealing import draft, finish, traced
from cartsnitch_common.events.sending import send

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from cartsnitch_common.constants import Service
    from cartsnitch_common.events.client import RedisClient
    from cartsnitch_common.events.envelope import EventContext
    from cartsnitch_common.events.observe import Observer
    from cartsnitch_common.events.sealing import Draft

    type Waiting = tuple[Draft, asyncio.Future[str]]
    """An event, and who waits for its id."""

_MOST: Final = 1000
"""Events that go out together, so that the first need not wait for the answer to all."""


class CoalescingPublisher:
    """Publishes as ``publish`` does, for any number of tasks of one event loop.

        async with CoalescingPublisher(redis, service=Service.STICKERSHOCK) as publisher:
            await publisher.publish(payload, key=product_id)

    One write is under way at a time; what comes meanwhile goes out with the next one.
    Nobody waits for others to come: a task that publishes alone is sent at once. Events
    go out in the order in which ``publish`` was called, and get their ids and their time
    when they do.
    """

    def __init__(
        self,
        redis: RedisClient,
        *,
        service: Service | str,
        most_waiting: int = 8 * 1024 * 1024,
        observer: Observer = SILENT,
    ) -> None:
        """Describe it. Nothing is opened before the first event.

        Args:
            redis: A client of ``async_redis``; one of its connections is used at a time.
            service: The publisher of all events.
            most_waiting: Envelopes that may wait for their write; while there are
                more, ``publish`` waits. Unit: bytes.
            observer: Is told of what is published.
        """
        self._redis = redis
        self._service = service
        self._observer = observer
        self._most_waiting = most_waiting
        self._waiting: list[Waiting] = []
        self._size = 0
        self._room = asyncio.Event()
        self._turn = asyncio.Lock()  # first come, first served
        self._queued = 0  # those in turn; between two of them the lock is free
        self._sender: asyncio.Task[None] | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Take no more events, and wait until those that wait are out or have failed."""
        self._closed = True
        while self._sender is not None:
            await asyncio.wait({self._sender})

    async def publish(self, payload: Message, *, key: str, **context: Unpack[EventContext]) -> str:
        """Publish an event, and wait for Redis's answer to it.

        A task that is cancelled meanwhile disturbs no other; its own event is dropped
        if it still waits for its write, and may be out if it does not.

        Args:
            payload: The payload, and so the channel.
            key: What the event is about.
            **context: See ``EventContext``.

        Returns:
            The event's id.

        Raises:
            EventError: The event is refused; see ``wrap``.
            InvalidFieldError: A rule of the contract is broken.
            EventInDoubtError: The connection broke; the event may be out or not.
            ServerUnavailableError: Redis cannot be reached, or refuses; it is not out.
            SetupError: The publisher is closed.
        """
        event = draft(payload, self._service, key, traced(context))
        if self._queued or self._size >= self._most_waiting:
            await self._room_in_turn()
        if self._closed:
            raise SetupError("the publisher is closed")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[str] = loop.create_future()
        self._waiting.append((event, done))
        self._size += len(event[-1])
        if self._sender is None:
            # In a context of its own: it works for all tasks, not for the first.
            self._sender = loop.create_task(self._send(), context=contextvars.Context())
        return await done

    async def _room_in_turn(self) -> None:
        """Wait until there is room, and until those have theirs who waited before."""
        self._queued += 1
        try:
            async with self._turn:
                while self._size >= self._most_waiting:
                    self._room.clear()
                    await self._room.wait()
        finally:
            self._queued -= 1

    async def _send(self) -> None:
        """Send until nothing waits."""
        batch: list[Waiting] = []
        try:
            while self._waiting:
                batch = [waiting for waiting in self._take() if not waiting[1].cancelled()]
                events = finish([event for event, _ in batch])
                failures = await send(self._redis, events, self._observer)
                for event, (_, done), failure in zip(events, batch, failures, strict=True):
                    if done.done():  # its task was cancelled
                        continue
                    if failure is None:
                        done.set_result(event.event_id)
                    else:
                        done.set_exception(failure)
        finally:
            self._sender = None
            self._give_up(batch)

    def _take(self) -> list[Waiting]:
        """What goes out with the next write."""
        batch = self._waiting[:_MOST]
        del self._waiting[:_MOST]
        self._size -= sum([len(event[-1]) for event, _ in batch])
        self._room.set()
        return batch

    def _give_up(self, batch: list[Waiting]) -> None:
        """Let nobody wait for a sender that was ended in the midst of its work."""
        left = [*batch, *self._waiting]
        self._waiting.clear()
        self._size = 0
        self._room.set()
        for _, done in left:
            if not done.done():
                reason = "the event may have been published: its publisher was stopped"
                done.set_exception(EventInDoubtError(SETTING, reason))
