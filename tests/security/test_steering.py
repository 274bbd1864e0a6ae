"""The commands that steer events need no more than the relay's role and one user of Redis."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import NullPool
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from cartsnitch.event.v1 import PricesUpdated
from cartsnitch_common.config import Settings
from cartsnitch_common.constants import Service
from cartsnitch_common.db.engine import async_engine, async_sessions
from cartsnitch_common.db.owners import Program
from cartsnitch_common.db.roles import role_of
from cartsnitch_common.errors import AccessDeniedError
from cartsnitch_common.events import Consumer, Event
from cartsnitch_common.events.delivery import DeadLetter
from cartsnitch_common.events.inbox import SqlInbox, handle_once, record_dead_letter
from cartsnitch_common.events.outbox import enqueue
from cartsnitch_common.events.relay import Relay
from cartsnitch_common.events.replay_log import SqlEventLog
from cartsnitch_common.values.ids import new_uuid
from tests.event_payloads import prices
from tests.integration.events import test_cli
from tests.integration.redis.behaviour import connected
from tests.integration.redis.permissions import Guarded, guarded_server
from tests.security.conftest import Cluster, with_user

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("security")]

GROUP = "clipartist"
TYPE = "cartsnitch.prices.updated"


@pytest.fixture(scope="module")
def guarded() -> Iterator[Guarded]:
    with guarded_server() as guarded:
        yield guarded


@pytest.fixture
def command(granted: str, guarded: Guarded) -> Callable[..., Any]:
    """`cartsnitch events ... --json` as the relay's role and a user of Redis: what it says."""
    login = with_user(granted, f"login_{role_of(Program.RELAY)}")

    async def command(user: str, *arguments: str) -> Any:
        urls = {"database_url": login, "redis_url": guarded.url(user)}
        async with test_cli.command(*arguments, "--json", **urls) as process:
            out, errors = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0, errors
        return json.loads(out)

    return command


@pytest.fixture
async def sessions_of(cluster: Cluster, granted: str) -> AsyncIterator[Callable[..., Any]]:
    """Sessions of a login of the test's own that is a member of some roles."""
    logins = []

    def sessions_of(*owners: Service | Program) -> async_sessionmaker[AsyncSession]:
        logins.append(f"steering_{new_uuid().hex}")
        for owner in owners:
            cluster.user(logins[-1], role=role_of(owner))
        settings = Settings.load(database_url=with_user(granted, logins[-1]))
        return async_sessions(async_engine(settings, poolclass=NullPool))

    yield sessions_of
    with psycopg.connect(granted, autocommit=True) as admin:
        for login in logins:
            admin.execute(f"DROP ROLE {login}")
        admin.execute("TRUNCATE event_outbox, event_log, event_inbox, event_dead_letters")


@pytest.fixture
async def relayed(granted: str, guarded: Guarded, sessions_of: Any) -> int:
    """Two events that were relayed, by a relay with its own rights; how many."""
    async with sessions_of(Service.STICKERSHOCK).begin() as session:
        for key in "ab":
            await enqueue(session, prices(), service=Service.STICKERSHOCK, key=key)
    login = with_user(granted, f"login_{role_of(Program.RELAY)}")
    settings = Settings.load(database_url=login, redis_url=guarded.url("relay"))
    return await Relay(settings).run_once()


async def replayed(redis_url: str, sessions: Any) -> list[str]:
    """The keys of what a consumer handles from the log."""
    handled: list[str] = []
    async with connected(Settings.load(redis_url=redis_url)) as redis:
        consumer = Consumer(redis, SqlInbox(sessions), group=GROUP)

        @consumer.on(PricesUpdated)
        async def handle(event: Event[PricesUpdated], _session: AsyncSession) -> None:
            handled.append(event.key)

        await consumer.replay(SqlEventLog(sessions))
    return handled


async def test_a_login_with_both_roles_replays_by_itself(
    relayed: int, guarded: Guarded, sessions_of: Any
) -> None:
    """A service's own role is not enough to read the log; ``cartsnitch_replay`` is, beside it."""
    assert relayed == 2
    with pytest.raises(AccessDeniedError):
        await replayed(guarded.url(GROUP), sessions_of(Service.CLIPARTIST))
    both = sessions_of(Service.CLIPARTIST, Program.REPLAY)
    assert await replayed(guarded.url(GROUP), both) == ["a", "b"]


@pytest.mark.usefixtures("relayed")
async def test_the_relays_rights_replay(command: Callable[..., Any], sessions_of: Any) -> None:
    """`events replay` reads the log and a group's inbox, and writes to the streams."""
    async with sessions_of(Service.CLIPARTIST).begin() as session:
        await handle_once(session, GROUP, new_uuid())
    told = await command("relay", "replay", GROUP, "--channel", TYPE)
    assert told["channels"] == {TYPE: {"read": 2, "missed": 2}}


@pytest.mark.usefixtures("relayed")
async def test_the_relays_and_the_operators_rights_tell_the_lag(
    command: Callable[..., Any],
) -> None:
    """`events lag` counts the outbox as the relay, and looks at Redis as the operator."""
    told = await command("operator", "lag")
    assert told["outbox"]["waiting"] == 0
    assert told["streams"][TYPE] >= 2


async def test_the_relays_rights_settle_dead_letters(
    command: Callable[..., Any], sessions_of: Any
) -> None:
    """`dead-letters` lists, shows, redrives and drops what a service has buried."""
    async with sessions_of(Service.STICKERSHOCK).begin() as session:
        envelope = await enqueue(session, prices(), service=Service.STICKERSHOCK, key="k")
    for entry in ("1-0", "2-0"):
        letter = DeadLetter(
            consumer=GROUP,
            stream=f"{{{TYPE}}}:stream",
            entry_id=entry,
            envelope=envelope.SerializeToString(),
            reason="ValueError",
            deliveries=5,
            event_id=None,
        )
        async with sessions_of(Service.CLIPARTIST).begin() as session:
            assert await record_dead_letter(session, letter)
    listed = await command("relay", "dead-letters", "list")
    first, second = (row["id"] for row in listed["dead_letters"])
    shown = await command("relay", "dead-letters", "show", first)
    assert re.search("prices", json.dumps(shown["event"]))
    assert (await command("relay", "dead-letters", "redrive", first))["redriven"] == 1
    assert (await command("relay", "dead-letters", "drop", second, "--yes"))["dropped"] == 1
