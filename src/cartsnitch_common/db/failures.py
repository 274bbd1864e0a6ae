"""Why a database cannot be used, in words that hold no secret."""

from __future__ import annotations

import re
import socket
import ssl
from typing import Final

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from cartsnitch_common.errors import DatabaseUnavailableError

_REASONS: Final = {
    "28000": "the server refuses the login",
    "28P01": "the server refuses the user or the password",
    "3D000": "the database does not exist",
    "25006": "the server only reads, or lets the user only read",
    "42501": "the user lacks a right that is needed",
    "53100": "the server's disk is full",
    "53200": "the server has no memory left",
    "53300": "the server has no connection left",
    "57014": "a statement took longer than it may: something holds a lock, or the limit is low",
    "57P01": "the server ended the connection",
    "57P02": "the server ended the connection",
    "57P03": "the server is starting or stopping",
    "57P04": "the database was dropped",
    "57P05": "the server ended a connection that was idle for too long",
}

_BROKEN_OFF: Final = "the server broke the connection off, or is not a PostgreSQL"
_NO_ANSWER: Final = "no answer in time, or not from a PostgreSQL"
_NO_FILE: Final = "a socket or a file that it names does not exist"
_REFUSED: Final = "the connection was refused"
_NONE_FREE: Final = "no connection of the pool became free in time"
_UNKNOWN_HOST: Final = "the host is not known"
_UNTRUSTED: Final = "the server's certificate is not trusted"

_LOST: Final = frozenset({"25006", "25P03", "25P04", "57P01", "57P02", "57P03", "57P04", "57P05"})

# libpq gives no SQLSTATE for a login that failed. A server that speaks another
# language than English falls through to the class of the error; its words are
# not shown, because a wrongly escaped password ends up in the name of the host.
_TEXTS: Final = (
    (r"password authentication failed|no password supplied", _REASONS["28P01"]),
    (r"no pg_hba\.conf entry|role \".*\" does not exist", _REASONS["28000"]),
    (r"database \".*\" does not exist", _REASONS["3D000"]),
    (r"permission denied for database", _REASONS["42501"]),
    (r"too many (clients|connections)|connection slots", _REASONS["53300"]),
    (r"the database system is", _REASONS["57P03"]),
    (r"Connection refused|Connect call failed", _REFUSED),
    (r"failed to resolve host|could not translate host name", _UNKNOWN_HOST),
    (r"timeout expired|timed out", _NO_ANSWER),
    (r"does not support SSL", "the server offers no TLS"),
    (r"certificate verify failed", _UNTRUSTED),
    (r"rejected SSL upgrade", "the server offers no TLS, or is not a PostgreSQL"),
    (r"No such file or directory", _NO_FILE),
    (r"invalid \w+ value|must be one of", "a parameter of it has a value that is not known"),
    (r"connection_lost|closed|invalid response|expected authentication", _BROKEN_OFF),
)

_TYPES: Final[tuple[tuple[tuple[type[BaseException], ...], str], ...]] = (
    ((PoolTimeoutError,), _NONE_FREE),
    ((TimeoutError,), _NO_ANSWER),
    ((ConnectionRefusedError,), _REFUSED),
    ((socket.gaierror, UnicodeError), _UNKNOWN_HOST),
    ((ssl.SSLCertVerificationError,), _UNTRUSTED),
    ((FileNotFoundError,), _NO_FILE),
    ((ConnectionResetError, BrokenPipeError), _BROKEN_OFF),
    ((AssertionError,), "the server is not a PostgreSQL"),
)


def sqlstate_of(error: BaseException | None) -> str | None:
    """The SQLSTATE that the server gave, or None if it gave none. Ours and drivers' errors."""
    if isinstance(error, DBAPIError):
        error = error.orig
    state = getattr(error, "sqlstate", None)
    return state if isinstance(state, str) else None


def is_lost(sqlstate: str | None) -> bool:
    """Whether the connection is gone, or leads to a server that only reads now."""
    return sqlstate in _LOST


def connection_failure(error: BaseException) -> str:
    """Why there is no connection: one line without password and URL."""
    if isinstance(error, DatabaseUnavailableError) and error.reason is not None:
        return error.reason
    cause: BaseException | None = error.orig if isinstance(error, DBAPIError) else error
    state = sqlstate_of(cause)
    if state in _REASONS:
        return _REASONS[state]
    for types, reason in _TYPES:
        if isinstance(cause, types):
            return reason
    for pattern, reason in _TEXTS:
        if re.search(pattern, str(cause)):
            return reason
    return f"the connection failed ({type(cause).__name__}{f' {state}' if state else ''})"
