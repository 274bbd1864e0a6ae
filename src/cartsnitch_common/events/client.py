"""Redis clients with every option that matters said aloud, and the check of a server.

redis-py's defaults suit a cache. They repeat a command up to ten times when the
answer is lost, which turns one event into many, and break off an answer that
takes more than five seconds, as a blocking read may.
"""

from __future__ import annotations

import socket
import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

import redis
import redis.asyncio
from redis import exceptions
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from cartsnitch_common.config import setting_name
from cartsnitch_common.contract.bindings import bindings
from cartsnitch_common.errors import (
    ServerUnavailableError,
    ServerVersionError,
    SettingError,
    SetupError,
)
from cartsnitch_common.events.names import ENTRY_FIELD
from cartsnitch_common.events.texts import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cartsnitch_common.config import Settings

MAX_CONNECTIONS: Final = 50
"""Connections of one client; who asks for more waits."""

_SETTING: Final = setting_name("redis_url")
_OLDEST: Final = (7, 0)
_HELLO: Final = ("HELLO", 2)  # and not INFO, which access rules may forbid
_URL_OPTIONS: Final = {
    "ssl_ca_certs",
    "ssl_ca_path",
    "ssl_cert_reqs",
    "ssl_certfile",
    "ssl_check_hostname",
    "ssl_keyfile",
    "ssl_min_version",
}
_REFUSALS: Final = (
    (exceptions.AuthenticationError, "the server refuses the login"),
    (exceptions.NoPermissionError, "the server's access rules forbid it to this user"),
    (exceptions.BusyLoadingError, "the server is still loading its data"),
    (exceptions.InvalidResponse, "the server does not speak Redis's protocol"),
)
_FAILURES: Final = (
    ((socket.gaierror,), "the host's name is not known"),
    ((ConnectionRefusedError,), "nobody listens there (connection refused)"),
    ((ssl.SSLError,), "no secure connection (TLS) can be made"),
    ((exceptions.TimeoutError, TimeoutError), "the server does not answer in time"),
)


def async_redis(settings: Settings) -> redis.asyncio.Redis:
    """A client for asyncio. It connects when it is first used; close it with ``aclose``.

    Raises:
        SettingError: ``CARTSNITCH_REDIS_URL`` is not set, or is no URL that works.
    """
    options = _options(settings) | {"retry": AsyncRetry(NoBackoff(), 0)}
    with _readable_url():
        pool = redis.asyncio.BlockingConnectionPool.from_url(_checked_url(settings), **options)
    return redis.asyncio.Redis.from_pool(pool)


def sync_redis(settings: Settings) -> redis.Redis:
    """A client for threads. It connects when it is first used; close it with ``close``.

    Raises:
        SettingError: ``CARTSNITCH_REDIS_URL`` is not set, or is no URL that works.
    """
    options = _options(settings) | {"retry": Retry(NoBackoff(), 0)}
    with _readable_url():
        pool = redis.BlockingConnectionPool.from_url(_checked_url(settings), **options)
    return redis.Redis.from_pool(pool)


def require_safe(client: redis.asyncio.Redis, *, block: float = 0) -> None:
    """Refuse a client that repeats commands or gives up on them too early.

    A repeated read leaves the first one's entries behind, delivered to nobody.

    Args:
        client: The client.
        block: Unit: seconds that it will be asked to wait for an answer.

    Raises:
        SetupError: It is none of ``async_redis``, or ``block`` is not below its timeout.
    """
    options = _untyped(client).get_connection_kwargs()
    retry, timeout = options.get("retry"), options.get("socket_timeout")
    if retry is None or retry.get_retries() or options.get("legacy_responses", True):
        raise SetupError("the Redis client must be one of cartsnitch_common.events.async_redis")
    if timeout is not None and block >= timeout:
        raise SetupError(f"a wait of {block:g} s must be below the socket timeout of {timeout:g} s")


async def check_redis(settings: Settings) -> str:
    """Ask the server who it is, and return its name and version.

    Raises:
        SettingError: The URL is not set, or is no URL that works.
        ServerUnavailableError: It cannot be reached or refuses the login.
        ServerVersionError: It is older than Redis 7.0.
    """
    client = async_redis(settings)
    try:
        with redis_errors():
            return _judge(await _untyped(client).execute_command(*_HELLO))
    finally:
        await client.aclose()


def check_redis_sync(settings: Settings) -> str:
    """``check_redis`` for code without asyncio."""
    client = sync_redis(settings)
    try:
        with redis_errors():
            return _judge(_untyped(client).execute_command(*_HELLO))
    finally:
        client.close()


def check_rights_sync(settings: Settings) -> None:
    """Make sure that the login may publish and consume every event of the contract.

    The commands are queued in a MULTI and thrown away: the server judges rights, and
    whether it takes writes at all, when a command is queued. Nothing is written.

    Raises:
        SettingError: The URL is not set, or is no URL that works.
        ServerUnavailableError: It cannot be reached, or refuses one of the commands.
    """
    with redis_errors(), sync_redis(settings) as client:
        # A connection of its own: a transaction that is thrown away has no replies to parse.
        connection = _untyped(client).connection_pool.get_connection()
        try:
            for binding in bindings():
                stream, group = binding.stream, ("cartsnitch", "1")
                for command in (
                    ("MULTI",),
                    ("XADD", stream, "*", ENTRY_FIELD, b""),
                    ("PUBLISH", binding.channel, b""),
                    ("XGROUP", "CREATE", stream, group[0], "0", "MKSTREAM"),
                    ("XREADGROUP", "GROUP", *group, "STREAMS", stream, ">"),
                    ("XACK", stream, group[0], "0-0"),
                    ("DISCARD",),
                ):
                    connection.send_command(*command)
                    connection.read_response()
        finally:
            connection.disconnect()


@contextmanager
def redis_errors() -> Iterator[None]:
    """Turn the errors of redis-py into ours.

    Raises:
        ServerUnavailableError: Redis cannot be reached, or refuses what was asked.
    """
    try:
        yield
    except (exceptions.RedisError, OSError) as error:
        raise ServerUnavailableError(_SETTING, redis_reason(error)) from error


def redis_reason(error: BaseException) -> str:
    """Why Redis did not do it, on one line and without anything that was sent.

    Args:
        error: An error of redis-py, or an ``OSError``.
    """
    for refusal, reason in _REFUSALS:
        if isinstance(error, refusal):
            return reason
    if isinstance(error, exceptions.ResponseError):
        code = error.status_code or str(error).partition(" ")[0]
        return f"the server refuses the command ({one_line(code)})"
    for cause in _causes(error):
        for failures, reason in _FAILURES:
            if isinstance(cause, failures):
                return reason
    return "the connection broke"


def _untyped(client: Any) -> Any:
    """The client, for a method of redis-py that has no annotations."""
    return client


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _options(settings: Settings) -> dict[str, Any]:
    return {
        # All our commands are answered alike in RESP2, which every server speaks
        # and redis-py reads faster; no server then pushes messages of its own, nor does
        # redis-py ask for notices of maintenance.
        "protocol": 2,
        "legacy_responses": False,
        "driver_info": None,  # no CLIENT SETINFO, which access rules would have to allow
        "decode_responses": False,
        "socket_timeout": settings.redis_socket_timeout,
        "socket_connect_timeout": settings.redis_connect_timeout,
        "socket_keepalive": True,
        # Without retries a PING before a command fails where the command would.
        "health_check_interval": 0,
        "retry_on_error": [],
        "max_connections": MAX_CONNECTIONS,
        "timeout": settings.redis_socket_timeout,  # until a connection is free
    }


def _checked_url(settings: Settings) -> str:
    url = settings.require_redis_url()
    # What stands in the URL would win over the options, and over the settings
    # from which the blocking time was checked.
    for name in parse_qs(urlsplit(url).query, keep_blank_values=True):
        if name not in _URL_OPTIONS:
            known = ", ".join(sorted(_URL_OPTIONS))
            raise SettingError(_SETTING, f"may set no other options than {known}")
        if name.startswith("ssl_") and not url.startswith("rediss://"):
            raise SettingError(_SETTING, "must start with rediss:// for options of TLS")
    database = urlsplit(url).path.strip("/")
    if database and not database.isdecimal():
        raise SettingError(_SETTING, "must end in the number of a database, such as /0")
    return url


@contextmanager
def _readable_url() -> Iterator[None]:
    try:
        yield
    except ValueError:
        # The message of urllib quotes what it could not read, a password perhaps.
        reason = "is no URL; in a password, / # ? @ : and % must be percent-encoded"
        raise SettingError(_SETTING, reason) from None


def _judge(reply: Any) -> str:
    if not isinstance(reply, list):
        raise ServerUnavailableError(_SETTING, "the server does not speak Redis's protocol")
    facts = dict(zip(reply[::2], reply[1::2], strict=False))
    product = facts.get(b"server", b"redis").decode("ascii", "replace")
    version = facts.get(b"version", b"").decode("ascii", "replace")
    numbers = [int(part) for part in version.split(".")[:2] if part.isdecimal()]
    if tuple(numbers) < _OLDEST:
        needed = ".".join(str(part) for part in _OLDEST)
        raise ServerVersionError(
            _SETTING, product=product, found=version or "of an unknown version", needed=needed
        )
    return f"{product} {version}"
