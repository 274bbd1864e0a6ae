"""The users that `cartsnitch events acl` prints, on live servers."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from cartsnitch.event.v1 import PricesUpdated
from cartsnitch_common import cli
from cartsnitch_common.config import Settings
from cartsnitch_common.constants import EventType, Service
from cartsnitch_common.contract import bindings
from cartsnitch_common.db.engine import async_engine, async_sessions
from cartsnitch_common.errors import NotAPublisherError, ServerUnavailableError, SetupError
from cartsnitch_common.events import acl, publish, publish_sync, subscribe, sync_redis, wrap
from cartsnitch_common.events.relay import Relay
from tests import redis_groups
from tests.event_payloads import all_payloads, prices
from tests.integration.events import consuming, relaying
from tests.integration.redis import permissions
from tests.integration.redis.behaviour import connected, until_effects
from tests.integration.redis.conftest import QUICK
from tests.integration.redis.permissions import Guarded, guarded_server
from tests.redis_servers import one_server

pytestmark = [pytest.mark.xdist_group("redis-acl"), pytest.mark.servers]

PASSWORD = "a-password-that-nobody-guesses"


@pytest.fixture(scope="module")
def guarded() -> Iterator[Guarded]:
    with guarded_server() as guarded:
        yield guarded


def test_every_cell_is_as_written(guarded: Guarded) -> None:
    """Each user gives each command on each channel: done or NOPERM, as the page says."""
    count, wrong = permissions.mistakes(guarded)
    assert wrong == []
    assert count > 600


@pytest.mark.parametrize("event_type", sorted(all_payloads()))
@pytest.mark.parametrize("service", permissions.SERVICES)
async def test_only_its_publishers_publish_an_event(
    guarded: Guarded, service: str, event_type: str
) -> None:
    """Who is no publisher is refused in our code, and by Redis when it lies about its name."""
    payload = all_payloads()[event_type]
    allowed = permissions.publishers()[event_type]
    settings = Settings.load(redis_url=guarded.url(service), **QUICK)
    async with connected(settings) as redis:
        plain: Any = sync_redis(settings)
        if service in allowed:
            await publish(redis, payload, service=service, key="k")
            await asyncio.to_thread(publish_sync, plain, payload, service=service, key="k")
        else:
            with pytest.raises(NotAPublisherError):
                await publish(redis, payload, service=service, key="k")
            with pytest.raises(NotAPublisherError):
                publish_sync(plain, payload, service=service, key="k")
            liar = min(allowed)
            with pytest.raises(ServerUnavailableError, match="access rules forbid it"):
                await publish(redis, payload, service=liar, key="k")
            with pytest.raises(ServerUnavailableError, match="access rules forbid it"):
                await asyncio.to_thread(publish_sync, plain, payload, service=liar, key="k")
        plain.close()


async def test_a_subscription_needs_the_right(guarded: Guarded) -> None:
    """A service that does not subscribe to a channel is told so when it tries."""
    payload = type(prices())
    for service in permissions.SERVICES:
        settings = Settings.load(redis_url=guarded.url(service), **QUICK)
        async with connected(settings) as redis:
            if service in permissions.READERS["cartsnitch.prices.updated"]:
                async with subscribe(redis, payload):
                    pass
            else:
                with pytest.raises(ServerUnavailableError, match="access rules forbid it"):
                    async with subscribe(redis, payload):
                        pass


def test_every_event_has_a_subscriber_and_every_service_a_user() -> None:
    """Nothing in the contract is forgotten in the rules."""
    assert set(acl.SUBSCRIBERS) == set(EventType)
    assert all(acl.SUBSCRIBERS.values())
    users = [user.name for user in acl.redis_users({})]
    assert users == [*Service, "relay", "operator", "default"]
    assert {binding.event_type for binding in bindings()} == set(EventType)


@pytest.mark.parametrize(
    ("given", "said"),
    [({"nobody": PASSWORD}, "no such user"), ({"api": "short"}, "16 characters or more")],
)
def test_a_password_that_cannot_be_used_is_refused(given: dict[str, str], said: str) -> None:
    """An unknown user and a weak password are errors without the password."""
    with pytest.raises(SetupError, match=said) as caught:
        acl.redis_users(given)
    assert not any(password in str(caught.value) for password in given.values())


@pytest.mark.parametrize("form", ["server", "cluster"])
async def test_the_bus_works_with_these_rights(form: str, cartsnitch_database: str) -> None:
    """Relay, consumer and publisher, each as its own user: nothing that they need is missing."""
    with one_server() if form == "server" else redis_groups.cluster(replica=False) as place:
        nodes = place.nodes if isinstance(place, redis_groups.Cluster) else [place]
        given = dict.fromkeys(("relay", "stickershock", "receiptwitness"), PASSWORD)
        for node in nodes:
            permissions.add_users(node, given)
        as_user = {}
        for user in given:
            url = re.sub("//.*@", f"//{user}:{PASSWORD}@", place.url)
            as_user[user] = Settings.load(database_url=cartsnitch_database, redis_url=url, **QUICK)
        engine: Any = async_engine(as_user["relay"])
        sessions = async_sessions(engine)
        async with sessions.begin() as session:
            await session.execute(text("CREATE TABLE effects (key text, event_id uuid, n serial)"))
        async with connected(as_user["stickershock"]) as redis:
            consumer = consuming.new_consumer(redis, sessions)
            relay = Relay(as_user["relay"])
            async with consuming.running(consumer), relaying.running(relay):
                written = await relaying.write(sessions, "a", "b", "a")
                assert await until_effects(sessions, 3) == written
            async with (
                connected(as_user["receiptwitness"]) as publishing,
                subscribe(redis, PricesUpdated) as events,
            ):
                said = await publish(publishing, prices(), service="receiptwitness", key="k")
                assert str((await anext(aiter(events))).event_id) == said.event_id
        await engine.dispose()


# -- the command ----------------------------------------------------------------


@dataclass(frozen=True)
class Printed:
    """What the command printed.

    Attributes:
        code: Its exit code.
        out: What went to the standard output.
        err: What went to the standard error.
    """

    code: int
    out: str
    err: str


type Run = Callable[..., Printed]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command, with some of the environment changed."""

    def run_command(*arguments: str, **environment: str) -> Printed:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        code = cli.run(["events", "acl", *arguments])
        said = capsys.readouterr()
        assert PASSWORD not in said.out + said.err
        return Printed(code, said.out, said.err)

    return run_command


def test_the_printed_file_is_one_that_redis_loads(run: Run, tmp_path: Path) -> None:
    """Redis starts with the file; who has a password gets in, and nobody else."""
    passwords = tmp_path / "passwords"
    passwords.write_text(f"# of the tests\nrelay:{PASSWORD}-r\ndefault:{PASSWORD}-d\n")
    printed = run(
        "--password-file",
        str(passwords),
        CARTSNITCH_REDIS_PASSWORD_API=f"{PASSWORD}-a",
        CARTSNITCH_REDIS_PASSWORD_RELAY=f"{PASSWORD}-not-this",
    )
    assert printed.code == 0
    assert "stickershock has no password" in printed.err
    with one_server(acl=printed.out, password=f"{PASSWORD}-d") as node:
        for user, password, greeting in (
            ("relay", f"{PASSWORD}-r", "+OK"),
            ("api", f"{PASSWORD}-a", "+OK"),
            ("relay", f"{PASSWORD}-not-this", "-WRONGPASS"),
            ("stickershock", "", "-WRONGPASS"),
        ):
            said = permissions.answer(node.port, ("AUTH", user, password))
            assert said.startswith(greeting), user
        assert permissions.answer(node.port, ("PING",)).startswith("-NOAUTH")


def test_the_printed_commands_leave_the_administrator_alone(run: Run) -> None:
    """As commands for redis-cli the users are the same, without ``default``."""
    printed = run("--format", "commands").out.splitlines()
    assert [line.split()[2] for line in printed] == [*Service, "relay", "operator"]
    assert all(line.startswith("ACL SETUSER ") for line in printed)


def test_a_password_that_is_no_text_is_named(run: Run) -> None:
    """Bytes of Latin-1 in the environment are one line with the variable, and no part of them."""
    printed = run(CARTSNITCH_REDIS_PASSWORD_API=f"{PASSWORD}\udce9")
    assert printed.code != 0
    assert "CARTSNITCH_REDIS_PASSWORD_API" in printed.err
    assert "Traceback" not in printed.err


def test_the_printed_json_says_the_same(run: Run) -> None:
    """For machines: who may log in, and the words of each user."""
    printed = run("--json", CARTSNITCH_REDIS_PASSWORD_API=PASSWORD)
    users = {user["user"]: user for user in json.loads(printed.out)["users"]}
    assert users["api"]["can_log_in"]
    assert not users["relay"]["can_log_in"]
    assert users["api"]["rules"] == list(acl.redis_users({"api": PASSWORD})[0].words)


@pytest.mark.parametrize("line", ["api", "api:", f"api:{PASSWORD}\napi:{PASSWORD}"])
def test_a_password_file_that_cannot_be_read_is_named(run: Run, tmp_path: Path, line: str) -> None:
    """The error tells the option and the line's number, not what stands there."""
    passwords = tmp_path / "passwords"
    passwords.write_text(line)
    printed = run("--password-file", str(passwords))
    assert printed.code == 3
    assert "--password-file: must hold lines of user:password" in printed.err
    missing = run("--password-file", str(tmp_path / "missing"))
    assert missing.code == 3
    assert "cannot be read" in missing.err


def test_an_envelope_of_another_service_is_not_made() -> None:
    """The check stands before Redis: such an envelope is not even made."""
    with pytest.raises(NotAPublisherError):
        wrap(prices(), service="clipartist", key="k")
