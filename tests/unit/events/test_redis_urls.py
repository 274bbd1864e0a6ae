from __future__ import annotations

from typing import Any

import pytest

from cartsnitch_common.config import Settings
from cartsnitch_common.errors import ServerUnavailableError, SettingError, SetupError
from cartsnitch_common.events import async_redis, check_redis, check_redis_sync, sync_redis
from cartsnitch_common.events.client import require_safe
from cartsnitch_common.events.client.urls import Form, RedisUrl
from tests.redis_servers import one_server

SECRET = "hunter2"

SENTINELS = f"redis+sentinel://user:{SECRET}@one:1,two/main/3?sentinel_password={SECRET}"
CLUSTER = f"redis+cluster://user:{SECRET}@one:1,two"


def read(url: str) -> RedisUrl:
    return RedisUrl.read(Settings.load(redis_url=url))


@pytest.mark.parametrize(
    ("url", "form", "addresses", "place"),
    [
        ("redis://host", Form.SERVER, (("host", 6379),), ("", 0)),
        ("redis://host:1/2", Form.SERVER, (("host", 1),), ("", 2)),
        ("rediss://[::1]:1/", Form.SERVER, (("::1", 1),), ("", 0)),
        ("redis+sentinel://a,b:1/main", Form.SENTINEL, (("a", 26379), ("b", 1)), ("main", 0)),
        ("redis+sentinel://[::1]/ma%20in/4", Form.SENTINEL, (("::1", 26379),), ("ma in", 4)),
        ("redis+cluster://a,b:1", Form.CLUSTER, (("a", 6379), ("b", 1)), ("", 0)),
        ("rediss+cluster://a/0", Form.CLUSTER, (("a", 6379),), ("", 0)),
    ],
)
def test_each_form_is_read(url: str, form: Form, addresses: Any, place: Any) -> None:
    """Hosts with their usual ports, the Sentinels' service and the database."""
    found = read(url)
    assert (found.form, found.addresses) == (form, addresses)
    assert (found.service, found.database) == place
    assert (found.tls is not None) is url.startswith("rediss")


def test_logins_are_kept_apart_and_out_of_sight() -> None:
    """Sentinels get the password that is theirs, and no ``repr`` shows either."""
    url = "redis+sentinel://us%2Fer:p%40ss@host/main?sentinel_username=s&sentinel_password=q%2Fq"
    found = read(url)
    assert found.login == {"username": "us/er", "password": "p@ss"}
    assert found.sentinel_login == {"username": "s", "password": "q/q"}
    assert not any(secret in repr(found) for secret in ("p@ss", "q/q", "us/er"))
    assert read("redis+sentinel://host/main").sentinel_login == {}


def test_options_of_tls_have_their_types() -> None:
    """Truths are truths: ``no`` does not count as yes because it is a text."""
    found = read("rediss+cluster://host?ssl_check_hostname=no&ssl_ca_certs=/a%20b.pem")
    assert found.tls == {"ssl_check_hostname": False, "ssl_ca_certs": "/a b.pem"}


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (f"redis://:{SECRET}@a,b/0", r"with \+sentinel or \+cluster only"),
        (f"redis+sentinel://:{SECRET}@a", "must name the Sentinels' service"),
        (f"redis+sentinel://:{SECRET}@a/main/x", "the number of a database"),
        (f"redis+cluster://:{SECRET}@a/1", "must name no database"),
        (f"redis+cluster://:{SECRET}@a?sentinel_password={SECRET}", "no other options"),
        (f"redis://:{SECRET}@a?sentinel_password={SECRET}", "no other options"),
        (f"rediss+cluster://:{SECRET}@a?ssl_ca_path=/x", "no other options"),
        (f"redis+cluster://:{SECRET}@a?ssl_ca_certs=/x", "must start with rediss"),
        (f"redis+sentinel://:{SECRET}@a:port/main", "is no URL"),
        (f"redis+cluster://:{SECRET}/@a", "is no URL"),
        (f"rediss+sentinel://:{SECRET}@a/main?ssl_min_version={SECRET}", "is no URL"),
        (f"redis+ring://:{SECRET}@a", "must start with one of"),
    ],
)
def test_what_cannot_be_is_named(url: str, reason: str) -> None:
    """Each mistake is an error of the setting that shows nothing of the URL."""
    for make in (async_redis, sync_redis):
        with pytest.raises(SettingError, match=reason) as caught:
            make(Settings.load(redis_url=url))
        assert str(caught.value).startswith("CARTSNITCH_REDIS_URL: ")
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize("url", [SENTINELS, CLUSTER, f"redis://:{SECRET}@one"])
async def test_every_form_is_safe(url: str) -> None:
    """Relay and consumer take each client, and refuse a wait that is too long for it."""
    client = async_redis(Settings.load(redis_url=url, redis_socket_timeout=3.0))
    require_safe(client, block=2.9)
    with pytest.raises(SetupError, match="3 s must be below the socket timeout"):
        require_safe(client, block=3)
    assert SECRET not in repr(client)
    await client.aclose()


def options_of(client: Any) -> list[dict[str, Any]]:
    """What each kind of connection of a client is made with."""
    if hasattr(client, "nodes_manager"):
        return [client.nodes_manager.connection_kwargs | {"retry": client.retry}]
    pool = client.connection_pool
    sentinels = pool.sentinel_manager.sentinels if hasattr(pool, "sentinel_manager") else []
    pools = [pool, *(sentinel.connection_pool for sentinel in sentinels)]
    return [pool.connection_kwargs for pool in pools]


@pytest.mark.parametrize(("url", "kinds"), [(SENTINELS, 3), (CLUSTER, 1), ("redis://one", 1)])
async def test_nothing_is_left_to_defaults(url: str, kinds: int) -> None:
    """No repetition, our timeouts, RESP2 and no health checks: to Sentinels and nodes too."""
    settings = Settings.load(redis_url=url, redis_socket_timeout=3.0, redis_connect_timeout=1.5)
    clients: list[Any] = [async_redis(settings)]
    if url != CLUSTER:  # whose client for threads asks for the nodes at once
        clients.append(sync_redis(settings))
    for client in clients:
        found = options_of(client)
        assert len(found) == kinds
        for options in found:
            assert options["retry"].get_retries() == 0
            assert not options.get("retry_on_error")
            assert options["socket_timeout"] == 3.0
            assert options["socket_connect_timeout"] == 1.5
            assert options["protocol"] == 2
            assert options["health_check_interval"] == 0
            assert options["driver_info"] is None
    await clients[0].aclose()
    for client in clients[1:]:
        client.close()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (f"redis+sentinel://127.0.0.1:1/main?sentinel_password={SECRET}", "no Sentinel"),
        (f"redis+cluster://:{SECRET}@127.0.0.1:1", "nobody listens there"),
    ],
)
async def test_who_is_not_there_is_named(url: str, reason: str) -> None:
    """When no Sentinel and no node answers, both checks say so without the password."""
    for error in await failures(url):
        assert reason in error
        assert SECRET not in error


@pytest.mark.servers
async def test_a_server_of_another_form_is_named() -> None:
    """A lone server is no node of a Cluster, and no Sentinel; a wrong password is that."""
    with one_server() as node:
        login = f":{node.password}@{node.address}"
        for error in await failures(f"redis+cluster://{login}"):
            assert error.endswith("the server is no node of a Cluster")
        for error in await failures(f"redis+cluster://:{SECRET}@{node.address}"):
            assert error.endswith("the server refuses the login")
        for error in await failures(
            f"redis+sentinel://{login}/main?sentinel_password={node.password}"
        ):
            assert "the server" in error


async def failures(url: str) -> list[str]:
    settings = Settings.load(redis_url=url, redis_connect_timeout=0.5)
    with pytest.raises(ServerUnavailableError) as caught:
        await check_redis(settings)
    with pytest.raises(ServerUnavailableError) as caught_sync:
        check_redis_sync(settings)
    return [str(caught.value), str(caught_sync.value)]
