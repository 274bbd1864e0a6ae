"""Whether a group may be read from: it is made, and what Redis had lost was handled before.

A group that has to wait for a replay is made at the last of all ids, behind which there is
nothing to read. So every member sees that a replay is due until one is done, whoever is stopped
in the midst of it; and if Redis is wiped again meanwhile, the group is gone again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import ResponseError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cartsnitch_common.events.client import RedisClient

LAST_NUMBER: Final = 2**64 - 1
"""The greatest that stands before or behind the hyphen of an entry's id."""
CLOSED: Final = f"{LAST_NUMBER}-{LAST_NUMBER}"
"""The last id that was delivered to a group from which nobody may read yet."""


class GroupState:
    """A group's state on its streams."""

    def __init__(self, redis: RedisClient, group: str, *, replays: bool) -> None:
        """Describe it.

        Args:
            redis: The client.
            group: The group.
            replays: Whether one that is missing is made closed.
        """
        self._redis = redis
        self._group = group
        self._replays = replays

    async def closed(self, streams: Sequence[str]) -> list[str]:
        """Make the group where it is missing; the streams on which it is closed."""
        made_at = CLOSED if self._replays else "0"
        found = []
        for stream in streams:
            last = await self._last_id(stream)
            if last is None:
                await self._make(stream, made_at)
                last = made_at
            if last == CLOSED:
                found.append(stream)
        return found

    async def open(self, streams: Sequence[str]) -> None:
        """Let a closed group be read from, from the stream's beginning.

        Raises:
            RedisError: Redis has lost the group since it was closed, or cannot be used.
        """
        for stream in streams:
            last = await self._last_id(stream)
            if last is None:
                raise ResponseError("NOGROUP the group was lost while its log was replayed")
            if last == CLOSED:  # or it was opened by another member, and is read from
                await self._redis.xgroup_setid(stream, self._group, id=0)

    async def _last_id(self, stream: str) -> str | None:
        """The last id that was delivered to the group; None when there is no such group."""
        try:
            groups: Any = await self._redis.xinfo_groups(stream)
        except ResponseError as error:
            if "no such key" in str(error):
                return None
            raise
        name = self._group.encode()
        found = (row["last-delivered-id"].decode() for row in groups if row["name"] == name)
        return next(found, None)

    async def _make(self, stream: str, last_id: str) -> None:
        try:
            await self._redis.xgroup_create(stream, self._group, id=last_id, mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
