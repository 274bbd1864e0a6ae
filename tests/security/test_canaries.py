"""Nothing that is shown, logged or raised about rows and sessions holds a canary."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from sqlalchemy import JSON, LargeBinary, NullPool, String, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import undefer

from cartsnitch_common.config import Settings
from cartsnitch_common.db import migrate
from cartsnitch_common.db.crypto import Keyring, SessionData, seal, session_place, unseal
from cartsnitch_common.db.engine import (
    async_engine,
    async_sessions,
    sync_engine,
    sync_sessions,
)
from cartsnitch_common.db.models import Base, User, UserStoreAccount
from cartsnitch_common.db.rotation import rotate
from cartsnitch_common.errors import (
    DatabaseError,
    DecryptionError,
    InvalidFieldError,
)
from tests.security.canaries import (
    CANARY,
    KEY,
    KEYS,
    OLD_KEY,
    PERSONAL,
    SESSION,
    STORE,
    insert_all,
    purchase,
    sightings,
    told,
)
from tests.security.conftest import Cluster

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("security")]


def test_a_canary_would_be_seen() -> None:
    """The look-out of these tests sees what it looks for."""
    for text in (f"x{CANARY}", CANARY.upper(), CANARY.encode().hex(), repr(base64.b64decode(KEY))):
        assert sightings(text)
    for before in ("", "a", "ab", "abc"):
        assert sightings(base64.b64encode(f"{before}{CANARY} and more".encode()).decode())
    assert not sightings("canary and c4n4ry")


def test_no_object_shows_one(settings: Settings) -> None:
    """Neither repr nor str of settings, keyring, rows, sessions and engines."""
    ring = Keyring.from_settings(settings)
    wrong = Settings.load(database_url=f"postgresql://u:{CANARY}@localhost/d")
    account = UserStoreAccount()
    seal(ring, account, SessionData(SESSION))
    things = [
        settings,
        wrong,
        settings.model_dump(),
        settings.model_dump_json(),
        ring,
        vars(type(ring)),
        account,
        SessionData(SESSION),
        unseal(ring, account),
        session_place(account.id),
        sync_engine(wrong),
        sync_engine(wrong).url,
        async_engine(wrong),
        *(model(**filled(model)) for model in models()),
    ]
    for thing in things:
        assert not sightings(f"{thing!r} {thing} {[thing]}"), type(thing)


def models() -> list[type[Any]]:
    return [mapper.class_ for mapper in Base.registry.mappers]


def filled(model: type[Any]) -> dict[str, Any]:
    """A canary for each column that can hold one."""
    values: dict[str, Any] = {}
    for column in model.__table__.columns:
        match column.type:
            case JSONB() | JSON():
                values[column.key] = {CANARY: CANARY}
            case LargeBinary():
                values[column.key] = CANARY.encode()
            case String():
                values[column.key] = CANARY
            case _:
                continue
    return values


def duplicate_email() -> list[Any]:
    return [User(**PERSONAL), User(**PERSONAL)]


def malformed_email() -> list[Any]:
    return [User(**PERSONAL | {"email": CANARY})]


def name_too_long() -> list[Any]:
    return [User(**PERSONAL | {"display_name": CANARY * 99})]


def null_in_text() -> list[Any]:
    return [User(**PERSONAL | {"display_name": f"{CANARY}\0"})]


def no_such_user() -> list[Any]:
    return [purchase(user_id=CANARY)]


def receipt_twice() -> list[Any]:
    user = User(id=CANARY, **PERSONAL)
    return [user, purchase(user_id=CANARY), purchase(user_id=CANARY)]


def amount_of_text() -> list[Any]:
    return [User(id=CANARY, **PERSONAL), purchase(user_id=CANARY, total=CANARY)]


def unknown_enum() -> list[Any]:
    return [User(id=CANARY, **PERSONAL), UserStoreAccount(user_id=CANARY, status=CANARY)]


def wrong_uuid() -> list[Any]:
    return [User(id=CANARY, **PERSONAL), purchase(user_id=CANARY, id=CANARY)]


def no_json() -> list[Any]:
    return [User(id=CANARY, **PERSONAL), purchase(user_id=CANARY, raw_data={CANARY: object()})]


def required_is_missing() -> list[Any]:
    return [User(id=CANARY, **PERSONAL), purchase(user_id=CANARY, receipt_id=None)]


FAILURES: list[Callable[[], list[Any]]] = [
    duplicate_email,
    malformed_email,
    name_too_long,
    null_in_text,
    no_such_user,
    receipt_twice,
    amount_of_text,
    unknown_enum,
    wrong_uuid,
    no_json,
    required_is_missing,
]


REFUSED = (DatabaseError, TypeError)
"""What such rows meet; the second is psycopg's, of what is no JSON."""


def test_a_leak_would_be_seen(settings: Settings, logs: pytest.LogCaptureFixture) -> None:
    """The driver's own error and SQLAlchemy's own logging hold canaries, and are told of."""
    options = {"poolclass": NullPool, "echo": True, "hide_parameters": False}
    engine = sync_engine(settings, driver_errors=True, **options)
    with pytest.raises(DBAPIError) as caught, sync_sessions(engine)() as session:
        insert_all(session, duplicate_email())
    assert "Key (lower(email::text))" in told(caught.value)
    assert sightings(told(caught.value))
    assert sightings(logs.text)


@pytest.mark.parametrize("rows", FAILURES, ids=lambda rows: rows.__name__)
def test_no_database_error_tells_one(
    settings: Settings, logs: pytest.LogCaptureFixture, rows: Callable[[], list[Any]]
) -> None:
    """Whatever the server or a driver refuses, neither error nor log quotes the row."""
    engine = sync_engine(settings, poolclass=NullPool, echo=True)
    with pytest.raises(REFUSED) as caught, sync_sessions(engine)() as session:
        insert_all(session, rows())
    assert not sightings(told(caught.value)), told(caught.value)
    assert "INSERT INTO stores" in logs.text
    assert not sightings(logs.text)


@pytest.mark.parametrize("rows", FAILURES, ids=lambda rows: rows.__name__)
async def test_no_database_error_tells_one_async(
    settings: Settings, logs: pytest.LogCaptureFixture, rows: Callable[[], list[Any]]
) -> None:
    """The same of asyncpg, which checks values itself before it sends them."""
    engine = async_engine(settings, poolclass=NullPool, echo=True)
    with pytest.raises(REFUSED) as caught:
        async with async_sessions(engine)() as session:
            await session.run_sync(insert_all, rows())
    assert not sightings(told(caught.value)), told(caught.value)
    assert "INSERT INTO stores" in logs.text
    assert not sightings(logs.text)


def test_echo_shows_no_values(settings: Settings, logs: pytest.LogCaptureFixture) -> None:
    """With echo on, statements are logged, and neither what they wrote nor what they found."""
    engine = sync_engine(settings, poolclass=NullPool, echo=True)
    ring = Keyring.from_settings(settings)
    with sync_sessions(engine).begin() as session:
        insert_all(session, [User(id=CANARY, **PERSONAL), purchase(user_id=CANARY)])
        account = UserStoreAccount(user_id=CANARY, store_id=STORE)
        seal(ring, account, SessionData(SESSION))
        session.add(account)
    with sync_sessions(engine).begin() as session:
        found = session.scalars(select(User).where(User.email == PERSONAL["email"])).one()
        assert found.display_name == PERSONAL["display_name"]
        query = select(UserStoreAccount).options(undefer(UserStoreAccount.session_data))
        secret = unseal(ring, session.scalars(query).one())
        assert secret is not None
        assert secret.get_secret_value() == SESSION
    assert "INSERT INTO purchases" in logs.text
    assert "FROM user_store_accounts" in logs.text
    assert not sightings(logs.text)


def test_no_refused_session_tells_one(settings: Settings, logs: pytest.LogCaptureFixture) -> None:
    """A session that is no JSON, or that was moved, or a key that is missing."""
    ring = Keyring.from_settings(settings)
    account, other = UserStoreAccount(), UserStoreAccount()
    refusals: list[tuple[type[Exception], Callable[[], Any]]] = [
        (InvalidFieldError, lambda: seal(ring, account, SessionData({CANARY: object()}))),
        (DecryptionError, lambda: unseal(ring, other)),
        (DecryptionError, lambda: unseal(Keyring({"other": b"k" * 32}), account)),
    ]
    for session in (account, other):
        seal(ring, session, SessionData(SESSION))
    other.session_data = account.session_data
    for kind, refused in refusals:
        with pytest.raises(kind) as caught:
            refused()
        assert not sightings(told(caught.value))
    assert not sightings(logs.text)


def test_the_servers_log_holds_no_session(cluster: Cluster) -> None:
    """With every statement and parameter logged: ciphertexts, but no plaintext and no key."""
    settings = Settings.load(database_url=cluster.database(), encryption_keys=KEYS)
    migrate.upgrade(settings)
    engine = sync_engine(settings, poolclass=NullPool)
    ring = Keyring.from_settings(settings)
    with psycopg.connect(settings.require_database_url()) as watcher:
        with sync_sessions(engine).begin() as session:
            insert_all(session, [User(id="u", email="ada@parent.example")])
            account = UserStoreAccount(user_id="u", store_id=STORE)
            seal(Keyring({"old": base64.b64decode(OLD_KEY)}), account, SessionData(SESSION))
            session.add(account)
            session.flush()
            watched = watcher.execute("SELECT query FROM pg_stat_activity").fetchall()
        assert "INSERT INTO user_store_accounts" in str(watched)
        assert not sightings(str(watched))
        assert rotate(engine, ring).rotated == 1
        watched = watcher.execute("SELECT query FROM pg_stat_activity").fetchall()
        assert not sightings(str(watched))
    log = cluster.log.read_text(errors="replace")
    token = ring.encrypt(b"{}", session_place(account.id))[:5]  # version, length, id
    assert f"\\x{token.hex()}" in log
    assert not sightings(log)
