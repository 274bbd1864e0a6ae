"""What the tests of `cartsnitch events ...` share."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from sqlalchemy import select

from cartsnitch_common.db.models import DeadLetter
from cartsnitch_common.events import encode, wrap
from cartsnitch_common.events.delivery import DeadLetter as Letter
from cartsnitch_common.events.inbox import record_dead_letter
from tests.event_payloads import prices
from tests.integration.events.consuming import GROUP, STREAM

type Command = Callable[..., Any]


async def bury(sessions: Any, *, consumer: str = GROUP, data: bytes | None = None) -> uuid.UUID:
    """A dead letter as a consumer makes one; returns its id."""
    envelope = wrap(prices(), service="stickershock", key="k")
    letter = Letter(
        consumer=consumer,
        stream=STREAM,
        entry_id=str(uuid.uuid4()),
        envelope=encode(envelope) if data is None else data,
        reason="ValueError",
        deliveries=5,
        event_id=uuid.UUID(envelope.event_id) if data is None else None,
    )
    async with sessions.begin() as session:
        assert await record_dead_letter(session, letter)
        found = await session.scalars(
            select(DeadLetter.id).where(DeadLetter.entry_id == letter.entry_id)
        )
        return found.one()
