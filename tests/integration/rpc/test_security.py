"""Who may call: tokens, TLS, and what is open to everyone."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from cartsnitch.catalog.v1 import CatalogServiceStub, ListStoresRequest
from cartsnitch_common import rpc
from cartsnitch_common.config import Settings
from cartsnitch_common.errors import PageTokenError, SettingError
from cartsnitch_common.rpc import call_errors, create_channel
from tests.authority import Authority, authority
from tests.integration.rpc.conftest import OTHER_TOKEN, TOKEN, Served, serving

PURCHASES = "cartsnitch.purchase.v1.PurchaseService"


async def list_stores(channel: grpc.aio.Channel) -> None:
    """A call that needs the token and no database."""
    stub: Any = CatalogServiceStub(channel)
    with pytest.raises(PageTokenError), call_errors():
        await stub.ListStores(ListStoresRequest(page_token="none"))


# -- tokens -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "good"),
    [
        (TOKEN, True),
        (f"{OTHER_TOKEN},{TOKEN}", True),
        (f"{TOKEN},{OTHER_TOKEN}", True),
        (TOKEN + "x", False),
        (TOKEN[:-1], False),
        (TOKEN.upper(), False),
    ],
)
async def test_any_token_of_the_servers_is_good(
    detached: Settings, sent: str, *, good: bool
) -> None:
    """Two tokens are good while they are changed; what is nearly one of them is not."""
    settings = detached.model_copy(
        update={"rpc_token": Settings.load(rpc_token=f"{TOKEN}, {OTHER_TOKEN}").rpc_token}
    )
    caller = Settings.load(rpc_token=sent)
    async with (
        serving(settings) as served,
        create_channel(caller, f"localhost:{served.server.port}") as channel,
    ):
        if good:
            await list_stores(channel)
        else:
            with pytest.raises(rpc.UnauthenticatedError):
                await list_stores(channel)


async def test_a_token_of_another_scheme_is_refused(open_served: Served) -> None:
    """The token alone, without its scheme, is no proof."""
    async with grpc.aio.insecure_channel(f"localhost:{open_served.server.port}") as channel:
        stub: Any = CatalogServiceStub(channel)
        for value in (TOKEN, f"Basic {TOKEN}", f"Bearer  {TOKEN}", "Bearer ", ""):
            with pytest.raises(rpc.UnauthenticatedError), call_errors():
                await stub.ListStores(ListStoresRequest(), metadata=[("authorization", value)])


async def test_the_token_is_checked_before_the_request(
    open_served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    """A stranger does not learn which requests are good."""
    caplog.set_level(logging.INFO)
    async with grpc.aio.insecure_channel(f"localhost:{open_served.server.port}") as channel:
        stub: Any = CatalogServiceStub(channel)
        with pytest.raises(rpc.UnauthenticatedError), call_errors():
            await stub.ListStores(ListStoresRequest(page_size=-1))
        raw = channel.unary_unary("/cartsnitch.catalog.v1.CatalogService/ListStores")
        with pytest.raises(rpc.UnauthenticatedError), call_errors():
            await raw(b"\xff\xff")


def test_without_a_token_there_is_neither_server_nor_channel() -> None:
    """A forgotten setting does not open a service to everybody."""
    settings = Settings.load()
    with pytest.raises(SettingError, match="CARTSNITCH_RPC_TOKEN: is not set"):
        rpc.Server(settings, [])
    with pytest.raises(SettingError, match="CARTSNITCH_RPC_TOKEN: is not set"):
        create_channel(settings, "localhost:1")


# -- TLS ----------------------------------------------------------------------


def issued(by: Authority, host: str) -> dict[str, Path]:
    """The settings of a server with a certificate for a host."""
    certificate, key = by.issue(host)
    return {"rpc_tls_certificate": certificate, "rpc_tls_key": key}


async def test_tls_is_spoken_where_it_is_configured(detached: Settings, tmp_path: Path) -> None:
    """With the trusted authority calls work; in clear, or with another, they fail."""
    ours, other = authority(tmp_path / "ours"), authority(tmp_path / "other")
    settings = detached.model_copy(update={**issued(ours, "localhost"), "rpc_tls_ca": ours.file})
    async with serving(settings) as served:
        await list_stores(served.channel)
        target = f"localhost:{served.server.port}"
        for ca in (None, other.file):
            caller = settings.model_copy(update={"rpc_tls_ca": ca})
            async with create_channel(caller, target, deadline=2) as channel:
                with pytest.raises(rpc.ServiceUnavailableError):
                    await list_stores(channel)


async def test_a_certificate_for_another_host_is_not_trusted(
    detached: Settings, tmp_path: Path
) -> None:
    """The name that is called must be the one that the certificate is for."""
    ours = authority(tmp_path)
    settings = detached.model_copy(
        update={**issued(ours, "elsewhere.example"), "rpc_tls_ca": ours.file}
    )
    async with serving(settings, deadline=2) as served:
        with pytest.raises(rpc.ServiceUnavailableError):
            await list_stores(served.channel)


@pytest.mark.parametrize("field", ["rpc_tls_certificate", "rpc_tls_key", "rpc_tls_ca"])
def test_a_file_of_tls_that_is_missing_is_named(tmp_path: Path, field: str) -> None:
    """The variable stands in the error."""
    ours = authority(tmp_path)
    files = {**issued(ours, "localhost"), "rpc_tls_ca": ours.file, field: tmp_path / "nothing"}
    settings = Settings.load(rpc_token=TOKEN, **files)
    message = f"CARTSNITCH_{field.upper()}: cannot be read"
    start = create_channel if field == "rpc_tls_ca" else rpc.Server
    with pytest.raises(SettingError, match=message):
        start(settings, "")


def test_an_authority_that_is_no_certificate_is_refused(tmp_path: Path) -> None:
    """A file of anything else is an error when the channel is made."""
    file = tmp_path / "ca.pem"
    for text in ("", "no certificate", "-----BEGIN CERTIFICATE-----\n"):
        file.write_text(text)
        with pytest.raises(SettingError, match="RPC_TLS_CA: holds no PEM certificate"):
            create_channel(Settings.load(rpc_token=TOKEN, rpc_tls_ca=file), "localhost:1")


def test_a_pair_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    """A key that is not the certificate's is an error at the start, and not at each call."""
    ours = authority(tmp_path)
    files = issued(ours, "localhost") | {"rpc_tls_key": issued(ours, "other")["rpc_tls_key"]}
    with pytest.raises(SettingError, match="CARTSNITCH_RPC_TLS_KEY: "):
        rpc.Server(Settings.load(rpc_token=TOKEN, **files), [])


# -- health and reflection ----------------------------------------------------


async def test_health_is_open_to_a_probe(open_served: Served) -> None:
    """A probe without a token reads the server's health and each service's."""
    async with grpc.aio.insecure_channel(f"localhost:{open_served.server.port}") as channel:
        stub: Any = HealthStub(channel)
        for name in ("", PURCHASES):
            answer = await stub.Check(HealthCheckRequest(service=name))
            assert answer.status == HealthCheckResponse.SERVING
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Check(HealthCheckRequest(service="no.such.Service"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_reflection_shows_the_contract_to_who_has_the_token(open_served: Served) -> None:
    """The services and their files are read with the token only."""
    asked = [
        ServerReflectionRequest(list_services=""),
        ServerReflectionRequest(file_containing_symbol=PURCHASES),
    ]
    stub: Any = ServerReflectionStub(open_served.channel)
    answers = [answer async for answer in stub.ServerReflectionInfo(iter(asked))]
    names = {one.name for one in answers[0].list_services_response.service}
    assert {PURCHASES, "grpc.health.v1.Health"} <= names
    files = [
        FileDescriptorProto.FromString(data)
        for data in answers[1].file_descriptor_response.file_descriptor_proto
    ]
    assert "cartsnitch/purchase/v1/purchase_service.proto" in {file.name for file in files}
    async with grpc.aio.insecure_channel(f"localhost:{open_served.server.port}") as channel:
        stranger: Any = ServerReflectionStub(channel)
        with pytest.raises(rpc.UnauthenticatedError), call_errors():
            # Writing nothing: grpcio's own client loses the code when a write meets the end.
            await stranger.ServerReflectionInfo().read()
