"""Settings from the environment; read when a program asks, never at import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from cartsnitch_common.errors import SettingError

PREFIX: Final = "CARTSNITCH_"

_DATABASE_SCHEMES: Final = ("postgresql", "postgres", "postgresql+asyncpg", "postgresql+psycopg")
_REDIS_SCHEMES: Final = tuple(
    scheme + form for form in ("", "+sentinel", "+cluster") for scheme in ("redis", "rediss")
)
_SHORTEST_TOKEN: Final = 32


def setting_name(field: str) -> str:
    """The environment variable of a field: ``database_url`` is ``CARTSNITCH_DATABASE_URL``."""
    return PREFIX + field.upper()


class Settings(BaseSettings):
    """What a service needs to reach the database and Redis.

    Every field is an environment variable with the prefix ``CARTSNITCH_``. The
    URLs hold passwords and are therefore secrets: neither ``repr`` nor an error
    shows them. Use :meth:`load`, which names the variable that is wrong.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, hide_input_in_errors=True
    )

    database_url: SecretStr | None = None
    """``postgresql://user:password@host:port/database``; the driver is chosen by the engine."""

    database_replica_url: SecretStr | None = None
    """The same of a server that only reads, for sessions that only read; by default the
    first one's."""

    redis_url: SecretStr | None = None
    """``redis://user:password@host:port/0``, or ``rediss://`` for TLS.

    ``redis+sentinel://user:password@host:port,host:port/service/0`` is the master that
    Sentinels call ``service``, ``redis+cluster://user:password@host:port,host:port`` a
    Cluster of which some nodes are named."""

    service: str | None = None
    """Which service of the platform this process is, such as ``receiptwitness``."""

    database_pool_size: Annotated[int, Field(ge=1, le=200)] = 5
    """Connections that each engine keeps open."""

    database_connect_timeout: Annotated[float, Field(gt=0, le=300)] = 10.0
    """Unit: seconds until an unreachable database is an error."""

    database_statement_timeout: Annotated[float, Field(ge=0, le=3600)] = 30.0
    """Unit: seconds that one statement of a transaction may take; 0 is no limit.

    In AUTOCOMMIT there is no transaction to set it in, and a session is a pooler's to lend:
    asyncpg gives up after this and ``database_connect_timeout`` together, and for psycopg a
    role's own limit holds (``ALTER ROLE ... SET statement_timeout``)."""

    encryption_keys: SecretStr | None = None
    """``2026-11=<base64 of 32 bytes>,2026-05=<...>``: the first key encrypts, all decrypt.

    How keys are made and changed stands in ``cartsnitch_common.db.crypto``."""

    redis_connect_timeout: Annotated[float, Field(gt=0, le=300)] = 5.0
    """Unit: seconds until an unreachable Redis is an error."""

    redis_socket_timeout: Annotated[float, Field(gt=0, le=300)] = 10.0
    """Unit: seconds that Redis may take to answer a command."""

    redis_block_time: Annotated[float, Field(gt=0, le=60)] = 2.0
    """Unit: seconds that a consumer waits on Redis for a new event."""

    rpc_token: SecretStr | None = None
    """What services prove themselves with to each other: 32 characters or more.

    Several are separated by commas, to change them without an outage: a server
    takes each of them, a channel sends the first."""

    rpc_host: str = "127.0.0.1"
    """The address that the gRPC server listens on; ``0.0.0.0`` or ``[::]`` for every one."""

    rpc_port: Annotated[int, Field(ge=0, le=65535)] = 50051
    """The port that the gRPC server listens on; 0 for any that is free."""

    rpc_tls_certificate: Path | None = None
    """The server's certificate chain, a PEM file; with it the server speaks TLS only."""

    rpc_tls_key: Path | None = None
    """The private key of ``rpc_tls_certificate``, a PEM file."""

    rpc_tls_ca: Path | None = None
    """Whom channels trust, a PEM file; with it they speak TLS only."""

    rpc_max_deadline: Annotated[float, Field(gt=0, le=3600)] = 300.0
    """Unit: seconds that the gRPC server works on a call, whatever the caller allows."""

    rpc_grace: Annotated[float, Field(ge=0, le=600)] = 10.0
    """Unit: seconds that calls in flight get when the gRPC server stops."""

    @field_validator("database_url", "database_replica_url")
    @classmethod
    def _database_scheme(cls, value: SecretStr | None) -> SecretStr | None:
        return _checked_scheme(value, _DATABASE_SCHEMES)

    @field_validator("redis_url")
    @classmethod
    def _redis_scheme(cls, value: SecretStr | None) -> SecretStr | None:
        return _checked_scheme(value, _REDIS_SCHEMES)

    @field_validator("rpc_token")
    @classmethod
    def _long_tokens(cls, value: SecretStr | None) -> SecretStr | None:
        tokens = _tokens(value)
        if any(len(token) < _SHORTEST_TOKEN for token in tokens):
            message = f"each token must have {_SHORTEST_TOKEN} characters or more"
            raise ValueError(message)
        if not all(char.isascii() and char.isprintable() for token in tokens for char in token):
            message = "a token may hold printable ASCII characters only"
            raise ValueError(message)
        return value

    @model_validator(mode="after")
    def _certificate_with_key(self) -> Self:
        if (self.rpc_tls_certificate is None) != (self.rpc_tls_key is None):
            missing = "rpc_tls_key" if self.rpc_tls_key is None else "rpc_tls_certificate"
            message = "is not set: a certificate and its key go together"
            raise SettingError(setting_name(missing), message)
        return self

    @model_validator(mode="after")
    def _block_below_timeout(self) -> Self:
        # With a block as long as the socket's timeout, redis-py hangs for
        # several timeouts and then raises on a healthy connection.
        if self.redis_block_time >= self.redis_socket_timeout:
            message = "must be below CARTSNITCH_REDIS_SOCKET_TIMEOUT"
            raise SettingError(setting_name("redis_block_time"), message)
        return self

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """Read the settings from the environment.

        Args:
            **overrides: Fields that are given here and not read.

        Raises:
            SettingError: A variable holds what it may not; names the first one.
        """
        try:
            return cls(**overrides)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False, include_context=False)[0]
            field = str(first["loc"][0])
            raise SettingError(setting_name(field), _lower_first(first["msg"])) from None

    def require_database_url(self) -> str:
        """The database's URL in clear.

        Raises:
            SettingError: It is not set.
        """
        return _required("database_url", self.database_url)

    def require_database_replica_url(self) -> str:
        """The replica's URL in clear.

        Raises:
            SettingError: It is not set.
        """
        return _required("database_replica_url", self.database_replica_url)

    def require_redis_url(self) -> str:
        """The URL of Redis in clear.

        Raises:
            SettingError: It is not set.
        """
        return _required("redis_url", self.redis_url)

    def require_encryption_keys(self) -> str:
        """The keys of the encrypted columns in clear, for ``Keyring.from_settings``.

        Raises:
            SettingError: They are not set.
        """
        return _required("encryption_keys", self.encryption_keys)

    def require_rpc_tokens(self) -> tuple[str, ...]:
        """The tokens in clear, at least one; the first is the one to send.

        Raises:
            SettingError: None is set.
        """
        _required("rpc_token", self.rpc_token)
        return _tokens(self.rpc_token)


def _checked_scheme(value: SecretStr | None, schemes: tuple[str, ...]) -> SecretStr | None:
    if value is None:
        return None
    url = value.get_secret_value().strip()  # a file that holds it ends with a line
    if url.partition("://")[0] not in schemes:
        message = f"must start with one of {', '.join(s + '://' for s in schemes)}"
        raise ValueError(message)
    return SecretStr(url)


def _tokens(value: SecretStr | None) -> tuple[str, ...]:
    text = value.get_secret_value() if value is not None else ""
    return tuple(token.strip() for token in text.split(",")) if text else ()


def _required(field: str, value: SecretStr | None) -> str:
    if value is None:
        raise SettingError(setting_name(field), "is not set")
    return value.get_secret_value()


def _lower_first(message: str) -> str:
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]
