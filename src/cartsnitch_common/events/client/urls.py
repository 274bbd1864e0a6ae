"""CARTSNITCH_REDIS_URL, read: the form of Redis, its addresses, the login and TLS."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult, parse_qs, unquote, urlencode, urlsplit

from redis.connection import parse_url

from cartsnitch_common.errors import SettingError
from cartsnitch_common.events.client.failures import SETTING

if TYPE_CHECKING:
    from cartsnitch_common.config import Settings

_TLS_OPTIONS: Final = {
    "ssl_ca_certs",
    "ssl_ca_path",
    "ssl_cert_reqs",
    "ssl_certfile",
    "ssl_check_hostname",
    "ssl_keyfile",
    "ssl_min_version",
}
_NOT_OF_A_CLUSTER: Final = {"ssl_ca_path", "ssl_min_version"}  # redis-py passes neither on
_SENTINEL_LOGIN: Final = {"sentinel_username": "username", "sentinel_password": "password"}


class Form(StrEnum):
    """What stands behind the URL, and what it says after the plus."""

    SERVER = ""
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


_PORTS: Final = {Form.SERVER: 6379, Form.SENTINEL: 26379, Form.CLUSTER: 6379}


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisUrl:
    """What ``CARTSNITCH_REDIS_URL`` says.

    Attributes:
        form: What stands behind it.
        addresses: Hosts and ports: of the server, the Sentinels, or nodes of the Cluster.
        service: What the Sentinels call the master; empty for other forms.
        database: The number of the database.
        login: The user and the password for Redis, as redis-py calls them.
        sentinel_login: The same for the Sentinels.
        tls: The options of TLS, as redis-py calls them; None without TLS.
    """

    form: Form
    addresses: tuple[tuple[str, int], ...]
    service: str
    database: int
    login: dict[str, Any] = field(repr=False)
    sentinel_login: dict[str, Any] = field(repr=False)
    tls: dict[str, Any] | None

    @classmethod
    def read(cls, settings: Settings) -> RedisUrl:
        """Read it from the settings.

        Raises:
            SettingError: It is not set, or is no URL that works; holds nothing of it.
        """
        url = settings.require_redis_url()
        try:
            return _read(urlsplit(url))
        except ValueError:
            # The message of urllib quotes what it could not read, a password perhaps.
            reason = "is no URL; in a password, / # ? @ : and % must be percent-encoded"
            raise SettingError(SETTING, reason) from None


def _read(parts: SplitResult) -> RedisUrl:
    scheme, _, after = parts.scheme.partition("+")
    form, with_tls = Form(after), scheme == "rediss"
    options = _checked_options(parts.query, form, with_tls=with_tls)
    sentinel_login = {
        name: options.pop(option) for option, name in _SENTINEL_LOGIN.items() if option in options
    }
    user, _, hosts = parts.netloc.rpartition("@")
    addresses = tuple(_address(host, _PORTS[form]) for host in hosts.split(","))
    if form is Form.SERVER and len(addresses) > 1:
        raise SettingError(SETTING, "may name several hosts with +sentinel or +cluster only")
    service, database = _place(unquote(parts.path), form)
    # redis-py knows which option is a number and which a truth.
    parse: Any = parse_url  # not annotated
    read: dict[str, Any] = parse(f"{scheme}://{user}@?{urlencode(options)}")
    return RedisUrl(
        form=form,
        addresses=addresses,
        service=service,
        database=database,
        login={name: read[name] for name in ("username", "password") if name in read},
        sentinel_login=sentinel_login,
        tls={name: read[name] for name in options} if with_tls else None,
    )


def _checked_options(query: str, form: Form, *, with_tls: bool) -> dict[str, str]:
    # What stands in the URL would win over the options, and over the settings
    # from which the blocking time was checked.
    known = _TLS_OPTIONS
    if form is Form.SENTINEL:
        known = known | _SENTINEL_LOGIN.keys()
    elif form is Form.CLUSTER:
        known = known - _NOT_OF_A_CLUSTER
    options = {name: said[-1] for name, said in parse_qs(query, keep_blank_values=True).items()}
    for name in options:
        if name not in known:
            raise SettingError(SETTING, f"may set no other options than {', '.join(sorted(known))}")
        if name in _TLS_OPTIONS and not with_tls:
            raise SettingError(SETTING, "must start with rediss for options of TLS")
    return options


def _address(text: str, port: int) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    return unquote(parts.hostname or "localhost"), parts.port or port


def _place(path: str, form: Form) -> tuple[str, int]:
    """The Sentinels' service and the number of the database."""
    service, database = "", path.strip("/")
    if form is Form.SENTINEL:
        service, _, database = database.partition("/")
        if not service:
            raise SettingError(SETTING, "must name the Sentinels' service, as in host:26379/main/0")
    if database and not (database.isdecimal() and database.isascii()):
        raise SettingError(SETTING, "must end in the number of a database, such as /0")
    number = int(database or 0)
    if form is Form.CLUSTER and number:
        raise SettingError(SETTING, "must name no database: a Cluster has 0 only")
    return service, number
