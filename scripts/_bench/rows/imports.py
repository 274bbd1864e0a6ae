"""What an import costs, in a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from _bench.comparison import Comparison, Direction, Sides

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from _bench.world import World


def _importing(ours: str, rival: str) -> Callable[[World], AsyncIterator[Sides]]:
    def run(module: str) -> None:
        # Isolated, so that neither the environment nor the working directory adds to it.
        subprocess.run([sys.executable, "-I", "-c", f"import {module}"], check=True)  # noqa: S603 - our own

    async def prepare(_: World) -> AsyncIterator[Sides]:
        yield Sides(ours=lambda: run(ours), rival=lambda: run(rival))

    return prepare


ROWS = (
    Comparison(
        name="import cartsnitch.pricing.v1",
        rival="google.protobuf, with what messages need of it",
        goal=1.3,
        direction=Direction.AT_MOST,
        prepare=_importing(
            "cartsnitch.pricing.v1",
            "google.protobuf.message, google.protobuf.descriptor, google.protobuf.descriptor_pool,"
            " google.protobuf.internal.builder, google.protobuf.timestamp_pb2",
        ),
        rounds=15,
        note="whole processes: the interpreter's own start is in both times",
    ),
    Comparison(
        name="import cartsnitch_common.db",
        rival="sqlalchemy",
        goal=1.3,
        direction=Direction.AT_MOST,
        prepare=_importing("cartsnitch_common.db", "sqlalchemy"),
        rounds=15,
        note="whole processes: the interpreter's own start is in both times",
    ),
)
