"""Which keys sealed the sessions, and how all of them come under the newest one.

A batch is one transaction: it locks rows, reads what they hold now, and writes it
back under the newest key. A writer waits for a batch at most, and a session that it
has written is never replaced by an older one. A run that is killed has lost its
last batch and nothing more; the next one finds what is left by the tokens themselves.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from sqlalchemy import Table, bindparam, func, select, text, update

from cartsnitch_common.db.crypto import session_place, token_head
from cartsnitch_common.db.models import UserStoreAccount
from cartsnitch_common.errors import DecryptionError

if TYPE_CHECKING:
    import uuid
    from collections.abc import Callable

    from sqlalchemy import ColumnElement, Connection, Engine

    from cartsnitch_common.db.crypto import Keyring

BATCH_SIZE: Final = 200
"""Rows of one transaction: some milliseconds."""

NAMED_ROWS: Final = 20
"""How many unreadable rows are named; all are counted."""

_PASSES: Final = 10
_PAUSE: Final = 0.2  # seconds; a transaction that holds a row has ended by then, as a rule

# The head is cut out once: each look at a session that lies in the TOAST table reads it.
_BY_KEY: Final = text(
    """
    WITH tokens AS MATERIALIZED (
        SELECT substring(session_data, 1, 34) AS head FROM user_store_accounts
        WHERE session_data IS NOT NULL
    )
    SELECT CASE
            WHEN octet_length(head) > 2 AND get_byte(head, 0) = 1
                AND octet_length(head) >= 2 + get_byte(head, 1)
            THEN encode(substring(head, 3, get_byte(head, 1)), 'escape')
        END, count(*)
    FROM tokens GROUP BY 1 ORDER BY 1
    """
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationResult:
    """What a rotation did, and what it left."""

    rotated: int
    """The rows that it brought under the newest key."""

    unreadable: int
    """The rows that cannot be decrypted; they stay as they are."""

    unreadable_ids: tuple[uuid.UUID, ...]
    """The ids of the first of them."""

    left: int
    """The rows that others held or wrote under an older key all the while: run it again."""

    @property
    def is_complete(self) -> bool:
        """Whether every session is under the newest key now."""
        return not self.unreadable and not self.left


def rows_by_key(connection: Connection) -> dict[str | None, int]:
    """How many sessions each key has sealed; under None what is no token at all."""
    return {row[0]: row[1] for row in connection.execute(_BY_KEY)}


def count_outdated(connection: Connection, keyring: Keyring) -> int:
    """How many sessions are not under the newest key."""
    found = select(func.count()).select_from(_table()).where(_outdated(keyring))
    return connection.scalar(found) or 0


def rotate(
    engine: Engine,
    keyring: Keyring,
    *,
    batch_size: int = BATCH_SIZE,
    on_batch: Callable[[int], None] | None = None,
) -> RotationResult:
    """Seal every session with the newest key that is not yet. May run several times at once.

    Args:
        engine: Of ``sync_engine``; its user needs SELECT and UPDATE on the accounts.
        keyring: The keys; those that sealed the sessions must be in it.
        batch_size: The most rows of one transaction.
        on_batch: Called after each with the number of its rows, readable or not.
    """
    rotated = attempt = 0
    while True:
        attempt += 1
        done, unreadable = _one_pass(engine, keyring, batch_size, on_batch)
        rotated += done
        with engine.begin() as connection:
            left = count_outdated(connection, keyring) - len(unreadable)
        if left <= 0 or attempt == _PASSES:
            return RotationResult(
                rotated=rotated,
                unreadable=len(unreadable),
                unreadable_ids=tuple(unreadable[:NAMED_ROWS]),
                left=max(left, 0),
            )
        time.sleep(_PAUSE)


def _one_pass(
    engine: Engine, keyring: Keyring, batch_size: int, on_batch: Callable[[int], None] | None
) -> tuple[int, list[uuid.UUID]]:
    """Go through the table once: how many rows were rotated, and the ids of the unreadable."""
    rotated = 0
    unreadable: list[uuid.UUID] = []
    after: uuid.UUID | None = None
    while True:
        with engine.begin() as connection:
            ids, failed = _one_batch(connection, keyring, after, batch_size)
        if not ids:
            return rotated, unreadable
        after = ids[-1]
        rotated += len(ids) - len(failed)
        unreadable += failed
        if on_batch is not None:
            on_batch(len(ids))


def _one_batch(
    connection: Connection, keyring: Keyring, after: uuid.UUID | None, batch_size: int
) -> tuple[list[uuid.UUID], list[uuid.UUID]]:
    """Rotate the next rows by id: the ids of all that were read, and of the unreadable."""
    table = _table()
    query = (
        select(table.c.id, table.c.session_data)
        .where(_outdated(keyring))
        .order_by(table.c.id)
        .limit(batch_size)
        # Who holds a row may write a session: the next pass sees it. Nobody waits for another.
        .with_for_update(skip_locked=True)
    )
    if after is not None:
        query = query.where(table.c.id > after)
    rows = connection.execute(query).all()
    sealed, failed = [], []
    for row in rows:
        place = session_place(row.id)
        try:
            token = keyring.encrypt(keyring.decrypt(row.session_data, place), place)
        except DecryptionError:
            failed.append(row.id)
        else:
            sealed.append({"row_id": row.id, "token": token})
    if sealed:
        written = update(table).where(table.c.id == bindparam("row_id"))
        connection.execute(written.values(session_data=bindparam("token")), sealed)
    return [row.id for row in rows], failed


def _outdated(keyring: Keyring) -> ColumnElement[bool]:
    """Whether a session is there and not under the newest key."""
    column, head = _table().c.session_data, token_head(keyring.ids[0])
    return column.is_not(None) & (func.substring(column, 1, len(head)) != head)


def _table() -> Table:
    return cast("Table", UserStoreAccount.__table__)
