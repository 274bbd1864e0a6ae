"""What is measured: two sides that do the same work, or one figure with a limit."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from _bench.world import World

    type Work = Callable[[], Awaitable[object]] | Callable[[], object]


class Direction(StrEnum):
    """How a goal is read."""

    AT_MOST = "at most"
    """Our time over the rival's, or a figure, must not be above the goal."""
    TIMES_AS_FAST = "times as fast"
    """The rival's time over ours must not be below the goal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """Two pieces of work that are ready to be timed.

    Attributes:
        ours: Does the work by this package.
        rival: Does the same work as a good engineer would by hand.
        units: How much of the work one call does, such as rows; both do the same.
        after: Runs after each call, outside the time, such as emptying a table.
    """

    ours: Work
    rival: Work
    units: int = 1
    after: Work | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One line of the table: our time and a rival's.

    Attributes:
        name: The work.
        rival: What it is measured against.
        goal: The ratio to reach; None reports without judging.
        direction: How the goal is read.
        prepare: An asynchronous generator that yields the sides once and then clears up.
        rounds: How often both sides run; each round gives one ratio. At least five.
        note: What a reader must know to judge the ratio.
    """

    name: str
    rival: str
    goal: float | None
    direction: Direction
    prepare: Callable[[World], AsyncIterator[Sides]]
    rounds: int = 7
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the table: a figure of ours alone.

    Attributes:
        name: What is measured.
        unit: Its unit, such as ``MB``.
        goal: The most that it may be; None reports without judging.
        measure: Measures it once; the median of the rounds counts.
        at_least: The goal is the least that it may be, as of a rate.
        rounds: How often it is measured. At least five where it is a time.
        note: What a reader must know to judge it.
    """

    name: str
    unit: str
    goal: float | None
    measure: Callable[[World], Awaitable[float]]
    at_least: bool = False
    rounds: int = 1
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What was measured of one line.

    Attributes:
        name: The work.
        against: The rival; empty for a figure.
        goal: The goal in words; empty where nothing is judged.
        measured: The ratio or the figure in words.
        value: The median ratio, read as the goal is, or the median figure.
        passed: Whether the goal is met; None where nothing is judged.
        times: The median times of a unit, ours and the rival's. Unit: seconds.
        note: What a reader must know.
    """

    name: str
    against: str
    goal: str
    measured: str
    value: float
    passed: bool | None
    times: tuple[float, float] | None
    note: str


def one_by_one(
    ours: Callable[[Any], object],
    inputs: Callable[[], Iterable[Any]],
    rival: Callable[[Any], object],
    rivals_inputs: Callable[[], Iterable[Any]] | None = None,
    *,
    units: int = 0,
) -> Callable[[World], AsyncIterator[Sides]]:
    """Sides that convert one input after the other; each keeps only the last result.

    Each run has inputs that nobody has looked at, as a driver gives them: a Decimal, a date
    and a text remember their hash, and what is measured often would find it there.

    Args:
        ours: Converts one input.
        inputs: Makes the inputs of a run.
        rival: Does the same by hand.
        rivals_inputs: Makes its inputs; None for the same.
        units: What a run converts; 0 for the number of inputs.
    """

    async def prepare(_: World) -> AsyncIterator[Sides]:
        mine: list[Any] = []
        theirs: list[Any] = []

        def renew() -> None:
            mine[:] = inputs()
            theirs[:] = mine if rivals_inputs is None else rivals_inputs()

        def run(work: Callable[[Any], object], many: list[Any]) -> None:
            for one in many:
                work(one)

        renew()
        yield Sides(
            ours=lambda: run(ours, mine),
            rival=lambda: run(rival, theirs),
            units=units or len(mine),
            after=renew,
        )

    return prepare
