"""Nothing that is shown, logged or raised of what somebody hands in holds a canary."""

from __future__ import annotations

import base64
import traceback
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import NullPool

from cartsnitch.account.v1 import User as UserMessage
from cartsnitch_common import cli, convert
from cartsnitch_common.config import Settings
from cartsnitch_common.db.crypto import Keyring, SessionData, seal
from cartsnitch_common.db.engine import (
    async_engine,
    check_database,
    check_database_sync,
    sync_engine,
    sync_sessions,
)
from cartsnitch_common.db.models import User, UserStoreAccount
from cartsnitch_common.errors import (
    CartsnitchError,
    ConstraintViolationError,
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
    TOKEN,
    insert_all,
    purchase,
    sightings,
    told,
)

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("security")]


@pytest.mark.parametrize(
    ("fields", "variable"),
    [
        ({"database_url": f"{CANARY}://u:{CANARY}@h/d"}, "DATABASE_URL"),
        ({"database_replica_url": f"{CANARY}://u:{CANARY}@h/d"}, "DATABASE_REPLICA_URL"),
        ({"redis_url": f"{CANARY}://:{CANARY}@h"}, "REDIS_URL"),
        ({"rpc_token": CANARY}, "RPC_TOKEN"),
        ({"rpc_port": CANARY}, "RPC_PORT"),
        ({"database_pool_size": CANARY}, "DATABASE_POOL_SIZE"),
    ],
)
def test_no_refused_setting_tells_one(fields: dict[str, Any], variable: str) -> None:
    """The variable is named and its content is not."""
    with pytest.raises(CartsnitchError, match=f"^CARTSNITCH_{variable}: ") as caught:
        Settings.load(**fields)
    assert not sightings(str(caught.value))
    assert not sightings("".join(traceback.format_exception(caught.value)))


@pytest.mark.parametrize(
    "keys", [CANARY, f"a={CANARY}", f"a={KEY},b={KEY}", f"a={KEY[1:]}", KEY, f"{KEY}={KEY}"]
)
def test_no_refused_key_tells_one(keys: str) -> None:
    """A keyring that is written wrongly is not shown, in whichever part it is wrong."""
    with pytest.raises(CartsnitchError, match=r"^CARTSNITCH_ENCRYPTION_KEYS: ") as caught:
        Keyring.from_settings(Settings.load(encryption_keys=keys))
    assert not sightings(told(caught.value))


@pytest.mark.parametrize(
    "message",
    [
        UserMessage(id="u", email=CANARY),
        UserMessage(id=CANARY * 9, email=PERSONAL["email"]),
        UserMessage(id="u", email=PERSONAL["email"], display_name=CANARY * 99),
        UserMessage(id="u", email=PERSONAL["email"], display_name=f"{CANARY}\0"),
    ],
)
def test_no_refused_message_tells_one(message: UserMessage) -> None:
    """A rule of the contract that is broken names the field and not its content."""
    with pytest.raises(InvalidFieldError) as caught:
        convert.from_message(message)
    shown = [str(caught.value), repr(caught.value), repr(vars(caught.value))]
    shown += traceback.format_exception(caught.value)
    assert not sightings("".join(shown))


async def test_no_refused_copy_tells_one(
    settings: Settings, logs: pytest.LogCaptureFixture
) -> None:
    """PostgreSQL quotes the line of a COPY that it refuses; here nobody sees it."""
    users = [UserMessage(id=f"{CANARY}{n}", email=PERSONAL["email"]) for n in range(2)]
    for user in users:
        user.create_time.GetCurrentTime()
        user.update_time.GetCurrentTime()
    refusals: list[tuple[type[CartsnitchError], list[UserMessage]]] = [
        (ConstraintViolationError, users),
        (InvalidFieldError, [users[0], UserMessage(id="u", email=CANARY)]),
    ]
    engine = async_engine(settings, poolclass=NullPool, echo=True)
    for kind, messages in refusals:
        with pytest.raises(kind) as caught:
            async with engine.begin() as connection:
                await convert.copy_messages(connection, messages)
        assert not sightings(str(caught.value))
        assert not sightings("".join(traceback.format_exception(caught.value)))
    assert not sightings(logs.text)


@pytest.mark.parametrize("place", ["password", "user", "database", "parameter"])
async def test_no_failed_connection_tells_one(
    database: str, logs: pytest.LogCaptureFixture, place: str
) -> None:
    """A login that the server refuses, or an address that cannot be read."""
    parts = urlsplit(database)
    user, host = (parts.netloc.split("@")[0].split(":")[0], parts.netloc.split("@")[1])
    url = {
        "password": f"postgresql://{user}:{CANARY}@{host}{parts.path}",
        "user": f"postgresql://{CANARY}:{CANARY}@{host}{parts.path}",
        "database": f"{database}{CANARY}",
        # What follows an unescaped @ and ? of a password.
        "parameter": f"postgresql://{user}:a@{host}/b?{CANARY}={CANARY}",
    }[place]
    settings = Settings.load(database_url=url)
    with pytest.raises(CartsnitchError) as caught:
        await check_database(settings)
    assert not sightings(str(caught.value))
    assert not sightings("".join(traceback.format_exception(caught.value)))
    with pytest.raises(CartsnitchError) as caught:
        check_database_sync(settings)
    assert not sightings("".join(traceback.format_exception(caught.value)))
    assert not sightings(logs.text)


COMMANDS = [
    ["db", "upgrade"],
    ["db", "check"],
    ["db", "check", "--json"],
    ["db", "seed"],
    ["db", "grants", "--json"],
    ["db", "grants", "--sql"],
    ["db", "keys", "--json"],
    ["db", "rotate-keys", "--json"],
    ["db", "rotate-keys"],
    ["events", "relay"],
    ["events", "tail", "--from-log"],
    ["events", "lag"],
    ["events", "dead-letters", "list"],
    ["events", "dead-letters", "redrive", "--all"],
    ["events", "dead-letters", "drop", "--all", "--yes"],
    ["events", "replay", "stickershock", "--dry-run"],
]


@pytest.mark.parametrize("wrong", ["nothing", "DATABASE_URL", "ENCRYPTION_KEYS", "RPC_TOKEN"])
def test_no_command_prints_one(
    settings: Settings, capfd: Any, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    """Not when all is well, nor with a wrong password, a bad key or a short token."""
    database = settings.require_database_url()
    values = {
        "DATABASE_URL": database,
        "ENCRYPTION_KEYS": KEYS,
        "RPC_TOKEN": TOKEN,
        "REDIS_URL": f"redis://:{CANARY}@127.0.0.1:1/0",
    }
    if wrong != "nothing":
        parts = urlsplit(database)
        url = parts._replace(netloc=f"cartsnitch:{CANARY}@{parts.netloc.split('@')[1]}").geturl()
        values[wrong] = {"DATABASE_URL": url}.get(wrong, CANARY)
    for name, value in values.items():
        monkeypatch.setenv(f"CARTSNITCH_{name}", value)
    engine = sync_engine(settings, poolclass=NullPool)
    with sync_sessions(engine).begin() as session:
        insert_all(session, [User(id=CANARY, **PERSONAL), purchase(user_id=CANARY)])
        account = UserStoreAccount(user_id=CANARY, store_id=STORE)
        seal(Keyring({"old": base64.b64decode(OLD_KEY)}), account, SessionData(SESSION))
        session.add(account)
    codes = [cli.run(arguments) for arguments in COMMANDS]
    printed = capfd.readouterr()
    assert printed.out or printed.err
    assert not sightings(printed.out + printed.err)
    assert len(set(codes)) > 1
