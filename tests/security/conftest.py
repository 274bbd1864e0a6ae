"""A PostgreSQL of these tests' own: roles are the whole server's, and it logs every statement."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import NullPool

from cartsnitch_common.config import Settings
from cartsnitch_common.db import migrate
from cartsnitch_common.db.engine import sync_engine
from cartsnitch_common.db.grants import apply_grants
from cartsnitch_common.db.rights import Rights, read_rights
from cartsnitch_common.db.role_statements import script
from cartsnitch_common.db.roles import ROLES, expected_grants
from cartsnitch_common.embedded.postgres import PostgresServer
from cartsnitch_common.values.ids import new_uuid
from tests.security.canaries import KEYS, TOKEN

PASSWORD = "canary-of-a-password"
STRANGER = "a_stranger"


@dataclass(frozen=True, slots=True)
class Cluster:
    """The server, and how its databases and users are reached."""

    url: str
    """As superuser."""

    log: Path
    """What the server writes of each statement."""

    def database(self, *, template: str | None = None, owner: str = "cartsnitch") -> str:
        """Make a database, empty or a copy of another; the URL is the superuser's."""
        made = f"test_{new_uuid().hex}"
        copied = urlsplit(template).path[1:] if template else "template0"
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}").format(
            *map(sql.Identifier, (made, copied, owner))
        )
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement)
        return with_database(self.url, made)

    def user(self, name: str, *, role: str | None = None, options: str = "") -> None:
        """Make a user that may log in, if there is none yet, perhaps a member of a role."""
        statement = sql.SQL("CREATE ROLE {} LOGIN {} PASSWORD {}").format(
            sql.Identifier(name), sql.SQL(options), PASSWORD
        )
        with psycopg.connect(self.url, autocommit=True) as connection:
            known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name])
            if not known.fetchone():
                connection.execute(statement)
            if role is not None:
                member = sql.SQL("GRANT {} TO {}")
                connection.execute(member.format(sql.Identifier(role), sql.Identifier(name)))

    def forget_roles(self) -> None:
        """Drop the package's roles and all that they own and may."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            names = connection.execute("SELECT datname FROM pg_database WHERE datallowconn")
            databases = [name for (name,) in names if name != "template1"]
            found = connection.execute(
                "SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", [list(ROLES)]
            )
            roles = [sql.Identifier(name) for (name,) in found]
            if not roles:
                return
            listed = sql.SQL(", ").join(roles)
            for name in databases:
                with psycopg.connect(with_database(self.url, name), autocommit=True) as other:
                    other.execute(sql.SQL("REASSIGN OWNED BY {} TO CURRENT_USER").format(listed))
                    other.execute(sql.SQL("DROP OWNED BY {}").format(listed))
            connection.execute(sql.SQL("DROP ROLE {}").format(listed))


def with_database(url: str, name: str) -> str:
    """The URL of another database of the same server."""
    return urlsplit(url)._replace(path=f"/{name}").geturl()


def with_user(url: str, name: str) -> str:
    """The URL of the same database for another user."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{name}:{PASSWORD}@{parts.hostname}:{parts.port}").geturl()


def execute(settings: Settings, statements: str) -> list[Any]:
    """Run statements as superuser, each by itself, and return the rows of the only one."""
    with psycopg.connect(settings.require_database_url(), autocommit=True) as connection:
        cursor = connection.execute(statements)
        return cursor.fetchall() if cursor.description else []


def run_script(settings: Settings) -> None:
    """Give the rights as an operator does who runs what `--sql` prints."""
    execute(settings, "; ".join(["BEGIN", *script(), "COMMIT"]))


both_ways = pytest.mark.parametrize("grant", [apply_grants, run_script], ids=["run", "sql"])
"""The two ways of giving the rights, as a function of the settings."""


def rights(settings: Settings) -> Rights:
    with sync_engine(settings, poolclass=NullPool).connect() as connection:
        return read_rights(connection)


def are_right(settings: Settings) -> bool:
    """Whether there is what shall be, and nothing else."""
    there = rights(settings)
    return there.found == there.required > expected_grants()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The server; every statement is logged with its parameters."""
    server = PostgresServer(settings={"log_statement": "all", "log_min_duration_statement": "0"})
    server.start()
    try:
        yield Cluster(server.url, server._log)
    finally:
        server.close()


@pytest.fixture(scope="module")
def template(cluster: Cluster) -> str:
    """A database at head that nobody has given rights on, to be copied."""
    url = cluster.database()
    migrate.upgrade(Settings.load(database_url=url))
    return url


@pytest.fixture
def at_head(cluster: Cluster, template: str) -> Settings:
    """A database at head, on a server that knows no role of the package."""
    cluster.forget_roles()
    return Settings.load(database_url=cluster.database(template=template))


@pytest.fixture(scope="module")
def granted(cluster: Cluster) -> str:
    """A database at head with the expected rights, and a user for each role and for none.

    Named ``login_<role>`` and ``a_stranger``, each with a schema of its own.
    """
    url = cluster.database()
    settings = Settings.load(database_url=url)
    migrate.upgrade(settings)
    apply_grants(settings)
    with psycopg.connect(url, autocommit=True) as connection:
        for role in (*ROLES, None):
            name = f"login_{role}" if role else STRANGER
            cluster.user(name, role=role)
            own = sql.SQL("CREATE SCHEMA {name} AUTHORIZATION {name}")
            connection.execute(own.format(name=sql.Identifier(name)))
    return url


@pytest.fixture
def connect(granted: str) -> Any:
    """Connect to the granted database as the user of a role; None is the stranger."""

    def connect(role: str | None) -> psycopg.Connection[Any]:
        return psycopg.connect(with_user(granted, f"login_{role}" if role else STRANGER))

    return connect


@pytest.fixture
def settings(database: str) -> Settings:
    """A database at head of the test's own, and secrets that are canaries."""
    return Settings.load(database_url=database, encryption_keys=KEYS, rpc_token=TOKEN)


@pytest.fixture
def logs(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """All that is logged, at every level; of SQLAlchemy what ``echo`` does.

    Beyond that, at DEBUG, it logs the rows that a query has found, of any engine.
    """
    caplog.set_level(logging.DEBUG)
    for name in ("sqlalchemy.pool", "asyncio", "psycopg", "alembic"):
        caplog.set_level(logging.DEBUG, logger=name)
    caplog.set_level(logging.INFO, logger="sqlalchemy.engine")
    return caplog
