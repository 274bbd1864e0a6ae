"""One CARTSNITCH_DATABASE_URL for two drivers that read URLs differently.

psycopg hands a URL's parameters to libpq. asyncpg knows a part of them, and
sends each one that it does not know to the server, which then refuses the login.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from cartsnitch_common.config import setting_name
from cartsnitch_common.errors import SettingError

if TYPE_CHECKING:
    from cartsnitch_common.config import Settings

SETTING: Final = setting_name("database_url")
REPLICA_SETTING: Final = setting_name("database_replica_url")

_HIGHEST_PORT: Final = 65535
_TIMEOUT: Final = "connect_timeout"
_CACHE: Final = "prepared_statement_cache_size"
_CACHED_STATEMENTS: Final = 100  # asyncpg's own default

_HOSTS: Final = frozenset({"host", "port"})
"""Read by SQLAlchemy itself: the directory of a socket, or several hosts to try."""

_SERVER: Final = frozenset({"application_name", "options"})
"""Both drivers send these to the server."""

_OURS: Final = {_TIMEOUT: 1, _CACHE: 0}
"""Each driver has its own word for these. Whole numbers, from the one that is given."""

_BOTH: Final = frozenset(
    {
        "krbsrvname",
        "passfile",
        "ssl_max_protocol_version",
        "ssl_min_protocol_version",
        "sslcert",
        "sslcrl",
        "sslkey",
        "sslmode",
        "sslnegotiation",
        "sslpassword",
        "sslrootcert",
        "target_session_attrs",
    }
)
"""Both drivers read these from a URL, in the same way."""

_LIBPQ_ONLY: Final = frozenset(
    {
        "channel_binding",
        "gssencmode",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "load_balance_hosts",
        "require_auth",
        "sslcompression",
        "sslsni",
        "tcp_user_timeout",
    }
)
"""asyncpg has no such thing and connects without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverAddress:
    """What one driver needs to connect."""

    url: URL
    """Driver, user, password, hosts and database. SQLAlchemy's repr hides the password."""

    connect_args: dict[str, Any]
    """The driver's own arguments."""


def asyncpg_address(settings: Settings, *, replica: bool = False) -> DriverAddress:
    """The address for asyncpg, of the primary or of the replica.

    Raises:
        SettingError: The setting of the URL is not set or cannot be read.
    """
    url, query = _parse(settings, replica=replica)
    server_settings = {"application_name": _program(settings), "TimeZone": "UTC"}
    server_settings |= {name: query[name] for name in _SERVER & query.keys()}
    arguments: dict[str, Any] = {
        "timeout": _timeout(settings, query),
        "server_settings": server_settings,
    }
    if limit := settings.database_statement_timeout:
        # Of a server that is cut off without a word nothing comes, not even its own limit.
        arguments["command_timeout"] = limit + _timeout(settings, query)
    if parameters := {name: query[name] for name in sorted(_BOTH & query.keys())}:
        # As a DSN, because asyncpg reads certificates from nowhere else.
        arguments["dsn"] = f"postgresql:///?{urlencode(parameters)}"
    if cached := _cache_size(query):
        arguments[_CACHE] = cached
    else:
        arguments |= {_CACHE: 0, "statement_cache_size": 0}
        # A pooler lends one server session to many clients: a statement with a name
        # would stay behind there, and clash with another client's. One without a name
        # ends with the next, and asyncpg prepares it anew where it was lost.
        arguments["prepared_statement_name_func"] = str
    return DriverAddress(url=url.set(drivername="postgresql+asyncpg"), connect_args=arguments)


def psycopg_address(settings: Settings, *, replica: bool = False) -> DriverAddress:
    """The address for psycopg, of the primary or of the replica.

    Raises:
        SettingError: The setting of the URL is not set or cannot be read.
    """
    url, query = _parse(settings, replica=replica)
    arguments: dict[str, Any] = {
        "application_name": _program(settings),
        "client_encoding": "utf8",  # as asyncpg, whatever a role or a variable says
        **{name: value for name, value in query.items() if name not in {_TIMEOUT, _CACHE}},
        _TIMEOUT: math.ceil(_timeout(settings, query)),
    }
    if not _cache_size(query):
        arguments["prepare_threshold"] = None
    return DriverAddress(url=url.set(drivername="postgresql+psycopg"), connect_args=arguments)


def _parse(settings: Settings, *, replica: bool) -> tuple[URL, dict[str, str]]:
    """The URL with hosts only in its query, and every other parameter of it.

    No reason names a parameter or its value: behind an unescaped ``@`` and ``?``
    in a password, both are parts of the password.
    """
    setting = REPLICA_SETTING if replica else SETTING
    text = settings.require_database_replica_url() if replica else settings.require_database_url()
    url = None
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        reason = "is not a URL of the form postgresql://user:password@host:port/database"
    else:
        reason = "names a port that does not exist"
    # Not inside `except`: there the error would carry SQLAlchemy's, with its text.
    if url is None or (url.port is not None and not 0 < url.port <= _HIGHEST_PORT):
        raise SettingError(setting, reason)
    query = {k: v if isinstance(v, str) else v[-1] for k, v in url.query.items()}
    if "ssl" in query:  # how SQLAlchemy spells sslmode for asyncpg
        query["sslmode"] = query.pop("ssl")
    known = _HOSTS | _OURS.keys() | _SERVER | _BOTH | _LIBPQ_ONLY
    if not query.keys() <= known:
        reason = f"holds a parameter that is none of {', '.join(sorted(known))}"
        raise SettingError(setting, reason)
    for name, least in _OURS.items():
        number = query.get(name, str(least))
        if not number.isdecimal() or int(number) < least:
            reason = f"its {name} must be a whole number from {least}"
            raise SettingError(setting, reason)
    hosts = {name: value for name, value in url.query.items() if name in _HOSTS}
    return url.set(query=hosts), {k: v for k, v in query.items() if k not in _HOSTS}


def _program(settings: Settings) -> str:
    return f"cartsnitch-{settings.service}" if settings.service else "cartsnitch"


def _timeout(settings: Settings, query: dict[str, str]) -> float:
    return int(query[_TIMEOUT]) if _TIMEOUT in query else settings.database_connect_timeout


def _cache_size(query: dict[str, str]) -> int:
    return int(query.get(_CACHE, _CACHED_STATEMENTS))
