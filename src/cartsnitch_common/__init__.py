"""The contract, the schema and the event bus that CartSnitch's services share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    __version__: str

__all__ = ["__version__"]


def __getattr__(name: str) -> str:
    """Read the version from the installed package when it is first asked for.

    The one source is ``pyproject.toml``. Reading it takes milliseconds that a
    plain import need not pay.
    """
    if name != "__version__":
        raise AttributeError(name)
    from importlib.metadata import version  # noqa: PLC0415 - see above

    globals()["__version__"] = found = version("cartsnitch-common")
    return found
