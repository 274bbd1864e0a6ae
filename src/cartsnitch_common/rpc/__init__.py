"""Calls between services: a server, channels, and errors that mean the same on both ends."""

from __future__ import annotations

from cartsnitch_common.rpc.channel import create_channel
from cartsnitch_common.rpc.errors import (
    call_errors,
    from_rpc_error,
    from_status,
    request_field,
    to_status,
)
from cartsnitch_common.rpc.failures import (
    AccountExpiredError,
    DeadlineError,
    InternalError,
    ServiceUnavailableError,
    SyncTooSoonError,
    UnauthenticatedError,
    UnknownReasonError,
)
from cartsnitch_common.rpc.pages import from_page_token, page_size, to_page_token
from cartsnitch_common.rpc.request_id import current_request_id
from cartsnitch_common.rpc.server import Server

__all__ = [
    "AccountExpiredError",
    "DeadlineError",
    "InternalError",
    "Server",
    "ServiceUnavailableError",
    "SyncTooSoonError",
    "UnauthenticatedError",
    "UnknownReasonError",
    "call_errors",
    "create_channel",
    "current_request_id",
    "from_page_token",
    "from_rpc_error",
    "from_status",
    "page_size",
    "request_field",
    "to_page_token",
    "to_status",
]
