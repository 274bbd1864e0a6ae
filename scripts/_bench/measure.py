"""Runs both sides in turns and compares them round by round."""

from __future__ import annotations

import gc
import inspect
import statistics
import time
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from _bench.comparison import Comparison, Direction, Figure, Result

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _bench.comparison import Sides, Work
    from _bench.world import World

    type Row = Comparison | Figure


async def measure(row: Row, world: World) -> Result:
    """Measure one line of the table."""
    if isinstance(row, Figure):
        return _judge_figure(row, [await row.measure(world) for _ in range(row.rounds)])
    async with asynccontextmanager(row.prepare)(world) as sides:
        return _judge(row, await _rounds(row, sides))


async def _rounds(row: Comparison, sides: Sides) -> list[tuple[float, float]]:
    """The times of a unit in each round, ours and the rival's.

    The sides take turns in going first, so that neither always finds the other's
    caches, and a slow moment of the machine meets both.
    """
    await _time(sides.ours, sides)  # fills caches and compiles, on both sides
    await _time(sides.rival, sides)
    times = []
    for number in range(row.rounds):
        if number % 2:
            rival = await _time(sides.rival, sides)
            ours = await _time(sides.ours, sides)
        else:
            ours = await _time(sides.ours, sides)
            rival = await _time(sides.rival, sides)
        times.append((ours / sides.units, rival / sides.units))
    return times


async def _time(work: Work, sides: Sides) -> float:
    with _no_collector():
        start = time.perf_counter()
        done = work()
        if inspect.isawaitable(done):
            done = await done
        took = time.perf_counter() - start
    del done  # not in the time: who keeps the result pays that elsewhere
    if sides.after is not None:
        cleared = sides.after()
        if inspect.isawaitable(cleared):
            await cleared
    return took


@contextmanager
def _no_collector() -> Iterator[None]:
    """Keep the garbage collector out of the time.

    It runs by the number of objects that are alive, which favours nobody's code
    but only whoever is measured first. Off, it favours the side that makes more objects.
    """
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _judge(row: Comparison, times: list[tuple[float, float]]) -> Result:
    fast = row.direction is Direction.TIMES_AS_FAST
    ratios = [rival / ours if fast else ours / rival for ours, rival in times]
    value = statistics.median(ratios)
    passed = None if row.goal is None else value >= row.goal if fast else value <= row.goal
    unit = " times as fast" if fast else " of its time"
    return Result(
        name=row.name,
        against=row.rival,
        goal="" if row.goal is None else f"{row.goal:g}{unit}",
        measured=f"{value:.2f}{unit}",
        value=value,
        passed=passed,
        times=(
            statistics.median(ours for ours, _ in times),
            statistics.median(rival for _, rival in times),
        ),
        note=row.note,
    )


def _judge_figure(row: Figure, values: list[float]) -> Result:
    value, goal = statistics.median(values), row.goal
    bound = "at least" if row.at_least else "at most"
    reached = None if goal is None else value >= goal if row.at_least else value <= goal
    return Result(
        name=row.name,
        against="",
        goal="" if goal is None else f"{bound} {goal:,g} {row.unit}",
        measured=f"{value:,.3g} {row.unit}" if value < 1000 else f"{value:,.0f} {row.unit}",  # noqa: PLR2004
        value=value,
        passed=reached,
        times=None,
        note=row.note,
    )
