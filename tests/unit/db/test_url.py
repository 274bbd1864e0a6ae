from __future__ import annotations

import traceback
from typing import Any

import pytest

from cartsnitch_common.config import Settings
from cartsnitch_common.db.url import asyncpg_address, psycopg_address
from cartsnitch_common.errors import SettingError

BASE = "postgresql://ada:canary@db.example:5433/carts"


def settings(url: str, **more: Any) -> Settings:
    return Settings.load(database_url=url, **more)


@pytest.mark.parametrize(
    "scheme", ["postgresql", "postgres", "postgresql+asyncpg", "postgresql+psycopg"]
)
def test_each_engine_gets_its_driver(scheme: str) -> None:
    """Whatever driver the one URL names, async code gets asyncpg and sync code psycopg."""
    given = settings(BASE.replace("postgresql", scheme))
    for address, driver in (
        (asyncpg_address(given), "asyncpg"),
        (psycopg_address(given), "psycopg"),
    ):
        url = address.url
        assert url.drivername == f"postgresql+{driver}"
        assert (url.username, url.password, url.host, url.port, url.database) == (
            *("ada", "canary", "db.example", 5433),
            "carts",
        )
        assert not url.query


def test_the_repr_hides_the_password() -> None:
    """An address in a log or a traceback shows no password."""
    for address in (asyncpg_address(settings(BASE)), psycopg_address(settings(BASE))):
        assert "canary" not in repr(address)


def test_parameters_reach_each_driver_in_its_own_words() -> None:
    """TLS, hosts, timeout and name mean the same under both drivers."""
    given = settings(
        f"{BASE}?sslmode=verify-full&sslrootcert=/etc/ca.pem&target_session_attrs=read-write"
        "&connect_timeout=7&application_name=mine&options=-c%20geqo%3Doff&keepalives=1"
    )
    asynchronous, synchronous = asyncpg_address(given), psycopg_address(given)
    assert asynchronous.connect_args == {
        "dsn": "postgresql:///?sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem"
        "&target_session_attrs=read-write",
        "timeout": 7,
        "command_timeout": 37,
        "server_settings": {
            "application_name": "mine",
            "TimeZone": "UTC",
            "options": "-c geqo=off",
        },
        "prepared_statement_cache_size": 100,
    }
    assert synchronous.connect_args == {
        "sslmode": "verify-full",
        "sslrootcert": "/etc/ca.pem",
        "target_session_attrs": "read-write",
        "connect_timeout": 7,
        "application_name": "mine",
        "client_encoding": "utf8",
        "options": "-c geqo=off",
        "keepalives": "1",
    }


def test_a_url_for_asyncpg_may_say_ssl() -> None:
    """SQLAlchemy's word for asyncpg is understood for psycopg too."""
    given = settings(f"{BASE}?ssl=require")
    assert asyncpg_address(given).connect_args["dsn"] == "postgresql:///?sslmode=require"
    assert psycopg_address(given).connect_args["sslmode"] == "require"


def test_several_hosts_and_sockets_stay_in_the_url() -> None:
    """A failover list or a socket's directory is SQLAlchemy's to read."""
    given = settings("postgresql://ada@/carts?host=a:1&host=b:2&sslmode=require")
    for address in (asyncpg_address(given), psycopg_address(given)):
        assert address.url.query == {"host": ("a:1", "b:2")}


def test_the_service_names_its_connections() -> None:
    """An operator sees in the server's list whose connection it is."""
    for service, name in (("receiptwitness", "cartsnitch-receiptwitness"), (None, "cartsnitch")):
        given = settings(BASE, service=service)
        assert asyncpg_address(given).connect_args["server_settings"]["application_name"] == name
        assert psycopg_address(given).connect_args["application_name"] == name


def test_prepared_statements_can_be_given_up() -> None:
    """For a PgBouncer that cannot keep them, both drivers keep none, and no name can clash."""
    given = settings(f"{BASE}?prepared_statement_cache_size=0")
    arguments = asyncpg_address(given).connect_args
    assert arguments["statement_cache_size"] == arguments["prepared_statement_cache_size"] == 0
    assert arguments["prepared_statement_name_func"]() == ""
    assert psycopg_address(given).connect_args["prepare_threshold"] is None
    assert "prepare_threshold" not in psycopg_address(settings(BASE)).connect_args


WRONG_URLS = pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada:canary@db.example:port/carts",
        "postgresql://ada:canary@db.example:0/carts",
        "postgresql://ada:canary@db.example:65536/carts",
        "postgresql://ada:canary@db.example/carts?sslmod=require",
        "postgresql://ada:x@y?canary=1@db.example/carts",
        "postgresql://ada:canary@db.example/carts?connect_timeout=soon",
        "postgresql://ada:canary@db.example/carts?connect_timeout=0",
        "postgresql://ada:canary@db.example/carts?prepared_statement_cache_size=-1",
    ],
)


@WRONG_URLS
@pytest.mark.parametrize("replica", [False, True], ids=["primary", "replica"])
@pytest.mark.parametrize("address", [asyncpg_address, psycopg_address])
def test_a_wrong_url_is_one_line_without_the_secret(
    url: str, *, replica: bool, address: Any
) -> None:
    """The error names the setting and tells nothing of its content, nor does its traceback."""
    given = settings(url, database_replica_url=url)
    name = "CARTSNITCH_DATABASE_REPLICA_URL" if replica else "CARTSNITCH_DATABASE_URL"
    with pytest.raises(SettingError, match=f"^{name}: ") as refused:
        address(given, replica=replica)
    error = refused.value
    assert "\n" not in str(error)
    assert error.__context__ is None
    shown = str(error) + repr(error) + "".join(traceback.format_exception_only(error))
    assert "canary" not in shown


def test_no_url_is_told() -> None:
    """Without the setting the error names it."""
    with pytest.raises(SettingError, match=r"^CARTSNITCH_DATABASE_URL: is not set$"):
        asyncpg_address(Settings.load())
    with pytest.raises(SettingError, match=r"^CARTSNITCH_DATABASE_REPLICA_URL: is not set$"):
        psycopg_address(settings(BASE), replica=True)
