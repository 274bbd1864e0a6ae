"""Errors of redis-py as ours, and as a reason on one line without anything that was sent."""

from __future__ import annotations

import socket
import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from redis import exceptions
from redis.asyncio import sentinel as async_sentinel
from redis.sentinel import MasterNotFoundError

from cartsnitch_common.config import setting_name
from cartsnitch_common.errors import ServerUnavailableError
from cartsnitch_common.events.texts import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

SETTING: Final = setting_name("redis_url")

_REASONS: Final = (
    ((exceptions.AuthenticationError,), "the server refuses the login"),
    ((exceptions.NoPermissionError,), "the server's access rules forbid it to this user"),
    ((exceptions.BusyLoadingError,), "the server is still loading its data"),
    ((exceptions.InvalidResponse,), "the server does not speak Redis's protocol"),
    ((socket.gaierror,), "the host's name is not known"),
    ((ConnectionRefusedError,), "nobody listens there (connection refused)"),
    ((ssl.SSLError,), "no secure connection (TLS) can be made"),
    ((exceptions.TimeoutError, TimeoutError), "the server does not answer in time"),
    (
        (MasterNotFoundError, async_sentinel.MasterNotFoundError),
        "no Sentinel that answers knows a master of this name",
    ),
)


@contextmanager
def redis_errors() -> Iterator[None]:
    """Turn the errors of redis-py into ours.

    Raises:
        ServerUnavailableError: Redis cannot be reached, or refuses what was asked.
    """
    try:
        yield
    except (exceptions.RedisError, OSError) as error:
        raise ServerUnavailableError(SETTING, redis_reason(error)) from error


def redis_reason(error: BaseException) -> str:
    """Why Redis did not do it, on one line and without anything that was sent.

    Args:
        error: An error of redis-py, or an ``OSError``.
    """
    causes = [*_causes(error)]
    for cause in causes:
        for kinds, reason in _REASONS:
            if isinstance(cause, kinds):
                return reason
    in_cluster = any(isinstance(cause, exceptions.RedisClusterException) for cause in causes)
    for cause in causes:
        if isinstance(cause, exceptions.ResponseError):
            if in_cluster:  # what redis-py met while it asked for the nodes
                return "the server is no node of a Cluster"
            code = cause.status_code or str(cause).partition(" ")[0]
            return f"the server refuses the command ({one_line(code)})"
    return "the Cluster has no node for it" if in_cluster else "the connection broke"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
