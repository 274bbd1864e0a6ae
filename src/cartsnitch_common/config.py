"""Settings from the environment; read when a program asks, never at import."""

from __future__ import annotations

from typing import Annotated, Any, Final, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from cartsnitch_common.errors import SettingError

PREFIX: Final = "CARTSNITCH_"

_DATABASE_SCHEMES: Final = ("postgresql", "postgres", "postgresql+asyncpg", "postgresql+psycopg")
_REDIS_SCHEMES: Final = ("redis", "rediss")


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

    redis_url: SecretStr | None = None
    """``redis://user:password@host:port/0``, or ``rediss://`` for TLS."""

    service: str | None = None
    """Which service of the platform this process is, such as ``receiptwitness``."""

    database_pool_size: Annotated[int, Field(ge=1, le=200)] = 5
    """Connections that each engine keeps open."""

    database_connect_timeout: Annotated[float, Field(gt=0, le=300)] = 10.0
    """Unit: seconds until an unreachable database is an error."""

    database_statement_timeout: Annotated[float, Field(ge=0, le=3600)] = 30.0
    """Unit: seconds that one statement may take; 0 is no limit."""

    redis_connect_timeout: Annotated[float, Field(gt=0, le=300)] = 5.0
    """Unit: seconds until an unreachable Redis is an error."""

    redis_socket_timeout: Annotated[float, Field(gt=0, le=300)] = 10.0
    """Unit: seconds that Redis may take to answer a command."""

    redis_block_time: Annotated[float, Field(gt=0, le=60)] = 2.0
    """Unit: seconds that a consumer waits on Redis for a new event."""

    @field_validator("database_url")
    @classmethod
    def _database_scheme(cls, value: SecretStr | None) -> SecretStr | None:
        return _checked_scheme(value, _DATABASE_SCHEMES)

    @field_validator("redis_url")
    @classmethod
    def _redis_scheme(cls, value: SecretStr | None) -> SecretStr | None:
        return _checked_scheme(value, _REDIS_SCHEMES)

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

    def require_redis_url(self) -> str:
        """The URL of Redis in clear.

        Raises:
            SettingError: It is not set.
        """
        return _required("redis_url", self.redis_url)


def _checked_scheme(value: SecretStr | None, schemes: tuple[str, ...]) -> SecretStr | None:
    if value is not None and value.get_secret_value().partition("://")[0] not in schemes:
        message = f"must start with one of {', '.join(s + '://' for s in schemes)}"
        raise ValueError(message)
    return value


def _required(field: str, value: SecretStr | None) -> str:
    if value is None:
        raise SettingError(setting_name(field), "is not set")
    return value.get_secret_value()


def _lower_first(message: str) -> str:
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]
