"""What an import costs, in a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Final

from _bench.comparison import Comparison, Direction, Sides

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from _bench.world import World


_WHOLE: Final = "whole processes: the interpreter's own start is in both times"
_MESSAGES: Final = (
    "import google.protobuf.message, google.protobuf.descriptor, google.protobuf.descriptor_pool,"
    " google.protobuf.internal.builder, google.protobuf.timestamp_pb2"
)
_USED: Final = "from cartsnitch_common.db import Database, Settings, models"
_STANDS_ON: Final = (
    "import sqlalchemy.orm, sqlalchemy.ext.asyncio, sqlalchemy.dialects.postgresql, asyncpg,"
    " pydantic_settings"
)


def _running(ours: str, rival: str) -> Callable[[World], AsyncIterator[Sides]]:
    def run(code: str) -> None:
        # Isolated, so that neither the environment nor the working directory adds to it.
        subprocess.run([sys.executable, "-I", "-c", code], check=True)  # noqa: S603 - our own

    async def prepare(_: World) -> AsyncIterator[Sides]:
        yield Sides(ours=lambda: run(ours), rival=lambda: run(rival))

    return prepare


ROWS = tuple(
    Comparison(
        name=name,
        rival=rival,
        goal=goal,
        direction=Direction.AT_MOST,
        prepare=_running(name, code),
        rounds=15,
        note=note,
    )
    for name, rival, code, goal, note in (
        (
            "import cartsnitch.pricing.v1",
            "google.protobuf, with what messages need of it",
            _MESSAGES,
            1.3,
            f"{_WHOLE}; google.protobuf alone is an empty package, which loads none of it",
        ),
        (
            "import cartsnitch_common.db",
            "sqlalchemy",
            "import sqlalchemy",
            1.3,
            f"{_WHOLE}; it loads what is used, when it is used",
        ),
        (
            _USED,
            "sqlalchemy",
            "import sqlalchemy",
            None,
            f"{_WHOLE}; what a service loads in the end",
        ),
        (
            _USED,
            "sqlalchemy with its orm, asyncio and PostgreSQL; asyncpg, pydantic_settings",
            _STANDS_ON,
            1.3,
            f"{_WHOLE}; ours has mapped ten tables",
        ),
    )
)
