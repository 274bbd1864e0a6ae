"""Fixtures for pytest: real servers, and a fresh database for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
from psycopg import sql

from cartsnitch_common.config import Settings
from cartsnitch_common.db import migrate
from cartsnitch_common.embedded import EmbeddedServers, start_servers
from cartsnitch_common.values.ids import new_uuid

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def cartsnitch_servers() -> Iterator[EmbeddedServers]:
    """A PostgreSQL and a Valkey for the whole run; see ``cartsnitch_common.embedded``."""
    with start_servers() as servers:
        yield servers


@pytest.fixture(scope="session")
def cartsnitch_template(cartsnitch_servers: EmbeddedServers) -> str:
    """The name of a database at head, which each test's database is copied from."""
    name = "cartsnitch_template"
    _create(cartsnitch_servers.database_url, name)
    url = _with_database(cartsnitch_servers.database_url, name)
    migrate.upgrade(Settings.load(database_url=url))
    return name


@pytest.fixture
def cartsnitch_empty_database(cartsnitch_servers: EmbeddedServers) -> Iterator[str]:
    """The URL of a database of this test's own, with nothing in it."""
    yield from _own_database(cartsnitch_servers.database_url, template="template0")


@pytest.fixture
def cartsnitch_database(
    cartsnitch_servers: EmbeddedServers, cartsnitch_template: str
) -> Iterator[str]:
    """The URL of a database of this test's own, empty and at head."""
    yield from _own_database(cartsnitch_servers.database_url, template=cartsnitch_template)


@pytest.fixture
def cartsnitch_redis(cartsnitch_servers: EmbeddedServers) -> str:
    """The URL of a Redis that holds nothing."""
    with redis.Redis.from_url(cartsnitch_servers.redis_url) as client:
        client.flushall()
    return cartsnitch_servers.redis_url


@pytest.fixture
def cartsnitch_settings(cartsnitch_database: str, cartsnitch_redis: str) -> Settings:
    """Settings for the test's own database and an empty Redis."""
    return Settings.load(database_url=cartsnitch_database, redis_url=cartsnitch_redis)


def _own_database(server_url: str, *, template: str) -> Iterator[str]:
    name = f"test_{new_uuid().hex}"
    _create(server_url, name, template=template)
    yield _with_database(server_url, name)
    with psycopg.connect(server_url, autocommit=True) as connection:
        # FORCE: a test that leaks a connection fails by its own checks, not here.
        connection.execute(sql.SQL("DROP DATABASE {} (FORCE)").format(sql.Identifier(name)))


def _create(server_url: str, name: str, *, template: str = "template0") -> None:
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )


def _with_database(url: str, name: str) -> str:
    return urlsplit(url)._replace(path=f"/{name}").geturl()
