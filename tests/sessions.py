"""Accounts whose sessions are sealed, for the tests of keys."""

from __future__ import annotations

import base64
import os
import uuid
from typing import TYPE_CHECKING, Any

from cartsnitch_common.db.crypto import Keyring, SessionData, seal, unseal
from cartsnitch_common.db.models import UserStoreAccount
from cartsnitch_common.errors import DecryptionError
from tests.rows import Rows

if TYPE_CHECKING:
    import psycopg

KEYS = {f"key-{number}": os.urandom(32) for number in range(1, 6)}
"""Five keys by id, the oldest first."""


def keyring(*numbers: int) -> Keyring:
    """A keyring of some of the keys, the first encrypts."""
    return Keyring({f"key-{number}": KEYS[f"key-{number}"] for number in numbers})


def setting(*numbers: int) -> str:
    """The same for CARTSNITCH_ENCRYPTION_KEYS."""
    ids = [f"key-{number}" for number in numbers]
    return ",".join(f"{key_id}={base64.b64encode(KEYS[key_id]).decode()}" for key_id in ids)


def add_accounts(
    connection: psycopg.Connection[Any], ring: Keyring, count: int
) -> dict[uuid.UUID, dict[str, Any]]:
    """Insert accounts with sessions, and one without; return the sessions by id."""
    rows = Rows(connection)
    store = rows.the("stores")
    sessions = {}
    for number in range(count):
        account = UserStoreAccount()
        session = {"cookie": f"session {number}", "filler": "x" * (number % 50)}
        seal(ring, account, SessionData(session))
        user = rows.add("users", email=f"user{number}@parent.example")
        values = {"id": account.id, "session_data": account.session_data}
        rows.add("user_store_accounts", user_id=user, store_id=store, **values)
        sessions[account.id] = session
    rows.add("user_store_accounts", user_id=rows.the("users"), store_id=store)
    connection.commit()
    return sessions


def read_sessions(
    connection: psycopg.Connection[Any], ring: Keyring
) -> dict[uuid.UUID, dict[str, Any] | None]:
    """Every session that is stored, by id; None for one that cannot be read."""
    query = "SELECT id, session_data FROM user_store_accounts WHERE session_data IS NOT NULL"
    found: dict[uuid.UUID, dict[str, Any] | None] = {}
    for row, token in connection.execute(query):
        try:
            session = unseal(ring, UserStoreAccount(id=row, session_data=token))
        except DecryptionError:
            found[row] = None
        else:
            found[row] = session.get_secret_value() if session else None
    return found
