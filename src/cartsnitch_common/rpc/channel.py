"""Channels to other services, with everything said that gRPC leaves open."""

from __future__ import annotations

import importlib
import json
from typing import TYPE_CHECKING, Any, Final

import grpc
from google.protobuf.descriptor_pb2 import MethodOptions

from cartsnitch_common.rpc import auth
from cartsnitch_common.rpc.request_id import METADATA_KEY as REQUEST_ID_KEY
from cartsnitch_common.rpc.request_id import current_request_id, new_request_id
from cartsnitch_common.rpc.tls import channel_credentials

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor import ServiceDescriptor

    from cartsnitch_common.config import Settings

MAX_MESSAGE_SIZE: Final = 16 * 1024 * 1024
"""Unit: bytes; the largest message that is received, here and on the server."""

KEEPALIVE_TIME: Final = 30.0
"""Unit: seconds without a byte after which a call in flight asks whether the server lives."""

_SERVICES: Final = ("account", "catalog", "coupon", "pricing", "purchase", "shrinkflation")


def create_channel(
    settings: Settings, target: str, *, deadline: float = 10.0, stream_deadline: float = 300.0
) -> grpc.aio.Channel:
    """A channel for the asynchronous stubs. It connects when it is first used; close it.

    A call that is given no timeout gets a deadline. Calls of methods that may be
    repeated are, up to three times, where the server could not be reached or
    said so itself; the deadline is that of all attempts together.

    Args:
        settings: The token, and whom to trust if TLS is spoken.
        target: ``host:port``, or another name that gRPC resolves.
        deadline: Unit: seconds for a call with one answer.
        stream_deadline: Unit: seconds for a call whose answer is a stream.

    Raises:
        SettingError: No token is set, or CARTSNITCH_RPC_TLS_CA cannot be used.
    """
    token = settings.require_rpc_tokens()[0]
    options = _options()
    interceptors: list[grpc.aio.ClientInterceptor] = [
        _UnaryUnary(token, deadline),
        _UnaryStream(token, stream_deadline),
        _StreamUnary(token, stream_deadline),
        _StreamStream(token, stream_deadline),
    ]
    credentials = channel_credentials(settings)
    if credentials is None:
        return grpc.aio.insecure_channel(target, options=options, interceptors=interceptors)
    return grpc.aio.secure_channel(target, credentials, options=options, interceptors=interceptors)


def service_config() -> dict[str, Any]:
    """The service config: which methods are repeated, when and how often.

    Source: https://github.com/grpc/proposal/blob/master/A6-client-retries.md
    """
    names = [
        {"service": service.full_name, "method": method.name}
        for service in _services()
        for method in service.methods
        if method.GetOptions().idempotency_level != MethodOptions.IDEMPOTENCY_UNKNOWN
    ]
    policy = {
        "maxAttempts": 4,
        "initialBackoff": "0.1s",
        "maxBackoff": "2s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    return {
        # Every address of a name, so that replicas share the load.
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [{"name": names, "retryPolicy": policy}],
        # Where half of the calls fail, repeating them is what keeps a service down.
        "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
    }


def _services() -> Iterator[ServiceDescriptor]:
    for context in _SERVICES:
        module = importlib.import_module(f"cartsnitch.{context}.v1.{context}_service_pb2")
        yield from module.DESCRIPTOR.services_by_name.values()


def _options() -> list[tuple[str, Any]]:
    return [
        ("grpc.service_config", json.dumps(service_config())),
        ("grpc.max_receive_message_length", MAX_MESSAGE_SIZE),
        ("grpc.keepalive_time_ms", round(KEEPALIVE_TIME * 1000)),
        ("grpc.keepalive_timeout_ms", 10_000),
    ]


class _Preparing:
    """Gives each call a deadline, the token and a request id, where it has none."""

    def __init__(self, token: str, deadline: float) -> None:
        self._token = auth.to_metadata(token)
        self._deadline = deadline

    def prepared(self, details: grpc.aio.ClientCallDetails) -> grpc.aio.ClientCallDetails:
        metadata = grpc.aio.Metadata(*(details.metadata or ()))
        metadata.add(*self._token)
        if metadata.get(REQUEST_ID_KEY) is None:
            # The id of the call that this process answers stays with the calls it makes for it.
            metadata.add(REQUEST_ID_KEY, current_request_id() or new_request_id())
        return grpc.aio.ClientCallDetails(
            method=details.method,
            timeout=self._deadline if details.timeout is None else details.timeout,
            metadata=metadata,
            credentials=details.credentials,
            wait_for_ready=details.wait_for_ready,
        )


class _UnaryUnary(_Preparing, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(
        self, continuation: Any, client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        return await continuation(self.prepared(client_call_details), request)


class _UnaryStream(_Preparing, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(
        self, continuation: Any, client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        return await continuation(self.prepared(client_call_details), request)


class _StreamUnary(_Preparing, grpc.aio.StreamUnaryClientInterceptor):
    async def intercept_stream_unary(
        self,
        continuation: Any,
        client_call_details: grpc.aio.ClientCallDetails,
        request_iterator: Any,
    ) -> Any:
        return await continuation(self.prepared(client_call_details), request_iterator)


class _StreamStream(_Preparing, grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(
        self,
        continuation: Any,
        client_call_details: grpc.aio.ClientCallDetails,
        request_iterator: Any,
    ) -> Any:
        return await continuation(self.prepared(client_call_details), request_iterator)
