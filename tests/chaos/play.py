"""A fault is played on a stage: load, the fault again and again, quiet, and the verdict."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg

from cartsnitch_common.errors import EventError
from cartsnitch_common.events import decode
from tests.chaos.children import Child
from tests.chaos.oracle import Books, ByKey, Verdict, judge
from tests.chaos.services import GROUP
from tests.chaos.stage import Stage, World

FILES, MEMORY, TASKS = 12, 48 * 1024 * 1024, 8
"""What a process may have more at the end than at the beginning: full pools, warm caches."""


@dataclass(slots=True)
class Score:
    """What a fault did.

    Attributes:
        injected: How often it was injected.
        bitten: How often that was seen to hit what it was to hit.
        recoveries: Unit: seconds from each to when the work went on.
        repeats: Events on the wire twice, or deliveries of what was handled, that there must
            be at least, or a fault did not bite.
        points: How often a process was killed at which of its points.
        poison: Entries added that do not decode, by their ids.
        notes: What else there is to say.
    """

    injected: int = 0
    bitten: int = 0
    recoveries: list[float] = field(default_factory=list)
    repeats: int = 0
    points: Counter[str] = field(default_factory=Counter)
    poison: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A way to fail.

    Attributes:
        name: In the table.
        run: Injects it so many times.
        short: How often in the test command; 0 for not at all.
        long: How often in the long run.
        least: How many events there shall be at least.
        proxied: Whether the processes reach their servers through proxies.
        limit: Unit: seconds until the work goes on.
        minutes: What the long run takes on two cores, about: how it shares out its time.
    """

    name: str
    run: Callable[[Play, int], Awaitable[None]]
    short: int
    long: int
    least: int = 0
    proxied: bool = False
    limit: float | None = None
    minutes: float = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a fault.

    Attributes:
        fault: The fault.
        score: What it did.
        verdict: The judgement; all zeros, and worth nothing, when it was broken off.
        duplicates: Deliveries that the inbox knew already.
        seconds: How long all of it took.
        allowance: Unit: seconds that a process may have waited for a busy processor, beside
            its limit.
        broken_off: Why it was not played to its end; None when it was.
    """

    fault: Fault
    score: Score
    verdict: Verdict
    duplicates: int
    seconds: float
    allowance: float = 0
    broken_off: str | None = None

    @property
    def failures(self) -> list[str]:
        """All that must not be, in words."""
        if self.broken_off is not None:
            return [f"broken off: {self.broken_off}"]
        score, failures = self.score, list(self.verdict.broken)
        if not score.injected:
            failures.append("I7: nothing was injected")
        if score.bitten != score.injected:
            failures.append(f"I7: {score.injected - score.bitten} did not bite")
        repeats = self.verdict.repeated + self.duplicates
        if repeats < score.repeats:
            failures.append(f"I7: {repeats} repeats, where {score.repeats} kills must leave some")
        limit = self.fault.limit
        if limit is not None and score.recoveries:
            longest = max(score.recoveries)
            if longest > limit + self.allowance:
                failures.append(f"back at work after {longest:.1f} s, not {limit:g} s")
        return failures

    @property
    def median(self) -> float | None:
        """Unit: seconds; None where recovery is not measured."""
        return statistics.median(self.score.recoveries) if self.score.recoveries else None


class Play:
    """One fault on its stage.

    Attributes:
        stage: Its servers.
        score: What it did so far.
        dice: The same in each run.
        fewest: How often the fault is injected whatever the time.
    """

    def __init__(self, stage: Stage, fault: Fault, *, seconds: float | None = None) -> None:
        """Set the scene.

        Args:
            stage: Where to play.
            fault: What to play.
            seconds: After which no fault more is injected than the test command injects.
        """
        self.stage = stage
        self.fewest = fault.short
        self._end = None if seconds is None else time.monotonic() + seconds
        self.score = Score()
        self.dice = random.Random(fault.name)  # noqa: S311 - no secret depends on it
        self._before: dict[Child, dict[str, int]] = {}
        self._producers: list[Child] = []
        self._ordered = 0

    def times(self, count: int) -> Iterator[int]:
        """Count the injections, so many of them or as many as there is time for."""
        for number in range(count):
            if self.is_late and number >= self.fewest:
                return
            yield number

    @property
    def is_late(self) -> bool:
        """Whether the time is up."""
        return self._end is not None and time.monotonic() > self._end

    async def producer(self, **orders: Any) -> Child:
        """Start a process that produces until the end."""
        orders = {"tasks": 3, "pause": 0.012, "most": 6, "seed": len(self._producers)} | orders
        child = await self.stage.spawn("producer", **orders)
        self._producers.append(child)
        return child

    async def warm_up(self) -> None:
        """Let some events go all the way."""
        self.load(60)
        await self.stage.until(lambda: self.stage.has_rows("effects", 1))
        await self.stage.caught_up()

    async def watch(self, *children: Child) -> None:
        """Measure processes that shall be there to the end, now that they work."""
        for child in children:
            self._before[child] = await child.measure()

    def lose(self, producer: Child) -> None:
        """Expect nothing more of a producer that was killed."""
        self._producers.remove(producer)

    def load(self, events: int, *, last: bool = False) -> None:
        """Have the producers commit so many events more, as fast as they do."""
        share = -(-events // max(1, len(self._producers)))
        for child in self._producers:
            child.order("produce", events=share, last=last)
        self._ordered += events

    async def until_there(self, arriving: Awaitable[Any]) -> None:
        """Keep events coming until a process has come to its point.

        More of them when the last ones have their effect: what piles up on a slow machine
        would count as time to recover.
        """
        task = asyncio.ensure_future(arriving)
        while not task.done():
            self.load(30)
            for _ in range(8):
                await asyncio.wait({task}, timeout=0.25)
                if task.done() or not await self.stage.owed():
                    break
        await task

    async def finish(self, least: int, *, within: float = 120) -> Books:
        """Let the producers come to an end, wait for quiet, and read all there is."""
        self.load(max(0, least - self._ordered), last=True)
        for child in self._producers:
            await child.hears("produced", within=within + least / 100)
        is_quiet = await self.stage.quiet(within=within)
        leaks = [] if is_quiet else ["not quiet in time"]
        leaks += await self._leaks()
        return await self._books(leaks)

    async def _leaks(self) -> list[str]:
        leaks = []
        for child, before in self._before.items():
            if child.ended.is_set():  # a part of the fault
                continue
            after = await child.measure()
            more = {name: after[name] - before[name] for name in ("files", "memory", "tasks")}
            for name, most in (("files", FILES), ("memory", MEMORY), ("tasks", TASKS)):
                if more[name] > most:
                    leaks.append(f"{child.name} has {more[name]} {name} more")
        try:
            await self.stage.until(self._none_is_idle, within=10)
        except TimeoutError:
            leaks.append("a connection idle in transaction")
        for child in self.stage.children:
            code = await child.close()
            if code not in {0, -9}:
                leaks.append(f"{child.name} ended with {code}")
        return leaks + await self._connections()

    async def _none_is_idle(self) -> bool:
        return not await self.stage.scalar(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND state LIKE 'idle in transaction%'"
        )

    async def _connections(self) -> list[str]:
        """Connections to either server that nobody has any more."""

        async def none() -> bool:
            found[:] = [await asyncio.to_thread(self._sessions), len(await redis.client_list())]
            return found == [0, 1]

        redis, found = self.stage.redis, [0, 0]
        await self.stage.engine.dispose()
        try:
            await self.stage.until(none, within=20)
        except TimeoutError:
            return [f"{found[0]} connections of the database, {found[1] - 1} of Redis"]
        return []

    def _sessions(self) -> int:
        with psycopg.connect(self.stage.database_url) as connection:
            row = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            ).fetchone()
        assert row is not None
        return int(row[0])

    async def _books(self, leaks: list[str]) -> Books:
        stage = self.stage
        ledger, effects = ByKeyDict(), ByKeyDict()
        poison = set(self.score.poison)
        committed = "SELECT key, event_id, dead FROM ledger ORDER BY n"
        for key, event, dead in await stage.rows(committed):
            ledger.add(key, str(event))
            if dead:
                poison.add(str(event))
        for key, event in await stage.rows("SELECT key, event_id FROM effects ORDER BY n"):
            effects.add(key, str(event))
        letters = [
            _identity(bytes(envelope), entry)
            for entry, envelope in await stage.rows(
                "SELECT entry_id, envelope FROM event_dead_letters"
            )
        ]
        wire = [_identity(envelope, entry) for entry, envelope in await stage.wire()]
        group = await stage.group()
        return Books(
            ledger=ledger.found,
            poison=frozenset(poison),
            effects=effects.found,
            letters=tuple(letters),
            wire=tuple(wire),
            waiting=await stage.scalar("SELECT count(*) FROM event_outbox"),
            pending=group.get("pending", 0),
            lag=group.get("lag") or 0,
            leaks=tuple(leaks),
            duplicates=sum(child.reports["settled duplicate"] for child in stage.children),
        )


class ByKeyDict:
    """Event ids by key, in the order in which they are added."""

    def __init__(self) -> None:
        self.found: ByKey = {}

    def add(self, key: str, event: str) -> None:
        """Append one."""
        self.found.setdefault(key, []).append(event)


def _identity(envelope: bytes, entry: str) -> str:
    try:
        return decode(envelope).event_id
    except EventError:
        return entry


async def play(
    world: World,
    fault: Fault,
    count: int,
    *,
    seconds: float | None = None,
    allowance: float = 0,
) -> Result:
    """Play a fault so many times, and judge.

    Args:
        world: The servers.
        fault: What to play.
        count: How often.
        seconds: After which it is injected no more, and judged.
        allowance: Unit: seconds beside its limit, on a machine that does other things too.
    """
    start = time.monotonic()
    async with world.stage(proxied=fault.proxied) as stage:
        one = Play(stage, fault, seconds=seconds)
        try:
            await fault.run(one, count)
        except (TimeoutError, AssertionError) as error:
            error.add_note("\n".join(await stage.state()))
            raise
        books = await one.finish(fault.least)
        return Result(
            fault=fault,
            score=one.score,
            verdict=judge(books),
            duplicates=books.duplicates,
            seconds=time.monotonic() - start,
            allowance=allowance,
        )


__all__ = ["GROUP", "Fault", "Play", "Result", "Score", "play"]
