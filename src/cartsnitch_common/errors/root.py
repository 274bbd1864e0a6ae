"""The one root of every exception of this package."""

from __future__ import annotations


class CartsnitchError(Exception):
    """something in cartsnitch-common failed."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message if message is not None else type(self).summary())

    @classmethod
    def summary(cls) -> str:
        """The first line of the class's docstring: what went wrong, in general."""
        return (cls.__doc__ or cls.__name__).splitlines()[0]
