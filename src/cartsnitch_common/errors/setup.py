"""The environment: settings and servers."""

from __future__ import annotations

from cartsnitch_common.errors.root import CartsnitchError


class SetupError(CartsnitchError):
    """the environment is not fit to run in."""


class SettingError(SetupError):
    """a setting is missing or refused.

    Attributes:
        setting: The environment variable, such as ``CARTSNITCH_DATABASE_URL``.
        reason: What is wrong with it, without its value.
    """

    def __init__(self, setting: str, reason: str) -> None:
        super().__init__(f"{setting}: {reason}")
        self.setting = setting
        self.reason = reason


class ServerUnavailableError(SettingError):
    """a server that a setting names cannot be reached or refuses the login."""


class ServerVersionError(SettingError):
    """a server that a setting names is of a version that is not supported.

    Attributes:
        found: The version the server reports.
        needed: The oldest version that is supported.
    """

    def __init__(self, setting: str, *, product: str, found: str, needed: str) -> None:
        super().__init__(setting, f"{product} {found} is too old, {needed} or newer is needed")
        self.found = found
        self.needed = needed


class SchemaVersionError(SettingError):
    """the database's schema is one that this version cannot work with."""


class EmbeddedServerError(SetupError):
    """an embedded server could not be started or stopped.

    Attributes:
        server: ``postgres``, ``valkey``, or ``servers`` for what they share.
        reason: What went wrong, with the server's own last words if it had any.
    """

    def __init__(self, server: str, reason: str) -> None:
        super().__init__(f"embedded {server}: {reason}")
        self.server = server
        self.reason = reason


class MissingExtraError(SetupError):
    """a part of the package is used whose extra is not installed.

    Attributes:
        extra: The name of the extra, such as ``db``.
    """

    def __init__(self, extra: str, module: str) -> None:
        super().__init__(f"{module} is not installed: pip install 'cartsnitch-common[{extra}]'")
        self.extra = extra
