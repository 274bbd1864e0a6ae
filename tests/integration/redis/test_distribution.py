"""The bus on the distribution's Redis 7: in clear, and with TLS, which Valkey's wheel lacks."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cartsnitch_common.config import Settings
from cartsnitch_common.errors import ServerUnavailableError
from cartsnitch_common.events import check_redis, check_redis_sync
from cartsnitch_common.events.client import check_rights_sync
from tests.authority import Authority, authority
from tests.integration.redis import permissions
from tests.integration.redis.behaviour import (  # noqa: F401 - collected here
    test_a_batch_reaches_its_streams,
    test_a_cut_subscription_listens_anew,
    test_events_published_together_are_heard,
    test_every_event_is_heard,
    test_lost_connections_lose_no_event,
    test_the_checks_name_the_server,
)
from tests.integration.redis.conftest import QUICK, Place
from tests.redis_groups import SERVICE, SLOTS
from tests.redis_servers import RedisNode, distribution_redis, one_server, private_directory, until

pytestmark = [pytest.mark.xdist_group("redis-distribution"), pytest.mark.servers]


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("ours"))


@contextmanager
def tls_node(
    ours: Authority, *settings: str, loopback: bool = True, **options: Any
) -> Iterator[RedisNode]:
    """A server that takes connections with TLS only; by default from whoever trusts it."""
    certificate, key = ours.issue("redis.example", loopback=loopback)
    lines = settings or ("tls-auth-clients no",)
    with private_directory() as runtime:
        node = RedisNode(
            runtime,
            "tls",
            password=secrets.token_hex(8),
            program=distribution_redis(),
            tls=(certificate, key, ours.file),
            settings=lambda _node: lines,
            **options,
        )
        node.start()
        yield node


def with_certificate(ours: Authority) -> str:
    """The options of a client that proves itself with a certificate."""
    certificate, key = ours.issue("client")
    return f"ssl_ca_certs={ours.file}&ssl_certfile={certificate}&ssl_keyfile={key}"


@pytest.fixture(scope="module", params=["in clear", "tls", "mutual tls"])
def place(request: Any, ours: Authority) -> Iterator[Place]:
    match request.param:
        case "in clear":
            with one_server(distribution_redis()) as node:
                yield Place(url=node.url, servers=[node])
        case "tls":
            with tls_node(ours) as node:
                yield Place(url=f"{node.url}?ssl_ca_certs={ours.file}", servers=[node])
        case "mutual tls":
            with tls_node(ours, "tls-auth-clients yes") as node:
                yield Place(url=f"{node.url}?{with_certificate(ours)}", servers=[node])


async def refusal(url: str, password: str) -> str:
    """What both checks say, without the password."""
    settings = Settings.load(redis_url=url, **QUICK)
    with pytest.raises(ServerUnavailableError) as caught:
        await check_redis(settings)
    with pytest.raises(ServerUnavailableError) as caught_sync:
        await asyncio.to_thread(check_redis_sync, settings)
    for said in (str(caught.value), str(caught_sync.value)):
        assert said.startswith("CARTSNITCH_REDIS_URL: ")
        assert password not in said
    return str(caught.value)


async def test_a_server_that_nobody_vouches_for_is_refused(ours: Authority, tmp_path: Path) -> None:
    """With another authority, or with none that is known, nothing is sent to it."""
    other = authority(tmp_path / "other")
    with tls_node(ours) as node:
        for options in (f"?ssl_ca_certs={other.file}", ""):
            assert "TLS" in await refusal(f"{node.url}{options}", node.password)


async def test_a_certificate_of_another_host_is_refused(ours: Authority) -> None:
    """The name in the URL must be in the certificate, unless the URL says otherwise."""
    with tls_node(ours, loopback=False) as node:
        url = f"{node.url}?ssl_ca_certs={ours.file}"
        assert "TLS" in await refusal(url, node.password)
        lax = Settings.load(redis_url=f"{url}&ssl_check_hostname=no", **QUICK)
        assert (await check_redis(lax)).startswith("redis 7")


async def test_a_client_without_a_certificate_is_refused(ours: Authority) -> None:
    """Where certificates are asked for, who has none is not let in, and is told."""
    with tls_node(ours, "tls-auth-clients yes") as node:
        said = await refusal(f"{node.url}?ssl_ca_certs={ours.file}", node.password)
        assert "TLS" in said or "broke" in said  # TLS 1.3 tells it after the handshake


async def test_tls_in_clear_is_refused(ours: Authority) -> None:
    """``redis://`` to a server that speaks TLS gets nowhere."""
    with tls_node(ours) as node:
        await refusal(node.url.replace("rediss://", "redis://"), node.password)


async def test_sentinels_speak_tls(ours: Authority) -> None:
    """``rediss+sentinel`` asks the Sentinels with TLS, and reaches the master with TLS."""
    with tls_node(ours, "tls-auth-clients no", "tls-replication yes") as node:
        lines = (
            "tls-auth-clients no",
            "tls-replication yes",
            f"sentinel monitor {SERVICE} 127.0.0.1 {node.port} 1",
            f"sentinel auth-pass {SERVICE} {node.password}",
        )
        with tls_node(ours, *lines, sentinel=True) as sentinel:
            login = f"sentinel_password={sentinel.password}&ssl_ca_certs={ours.file}"
            url = f"rediss+sentinel://:{node.password}@{sentinel.address}/{SERVICE}/0?{login}"
            await check_both(Settings.load(redis_url=url, **QUICK))


async def test_a_cluster_speaks_tls(ours: Authority) -> None:
    """``rediss+cluster`` reaches every node with TLS."""
    lines = ("tls-auth-clients no", "tls-cluster yes", "cluster-enabled yes")
    with tls_node(ours, *lines) as node:
        with node.admin() as admin:
            admin.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, SLOTS - 1)
            until(lambda: admin.execute_command("CLUSTER INFO")["cluster_state"] == "ok")
        url = f"rediss+cluster://:{node.password}@{node.address}?ssl_ca_certs={ours.file}"
        await check_both(Settings.load(redis_url=url, **QUICK))


async def check_both(settings: Settings) -> None:
    assert (await check_redis(settings)).startswith("redis 7")
    assert (await asyncio.to_thread(check_redis_sync, settings)).startswith("redis 7")
    await asyncio.to_thread(check_rights_sync, settings)


def test_every_cell_is_as_written_on_redis_too() -> None:
    """Redis 7 judges the generated users as Valkey does, command by command."""
    with permissions.guarded_server(distribution_redis()) as guarded:
        count, wrong = permissions.mistakes(guarded)
    assert wrong == []
    assert count > 600
