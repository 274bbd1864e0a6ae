"""How services prove to each other who they are: a token that the platform shares."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final

from cartsnitch_common.rpc.failures import UnauthenticatedError

if TYPE_CHECKING:
    from collections.abc import Sequence

METADATA_KEY: Final = "authorization"
_SCHEME: Final = "Bearer "


def to_metadata(token: str) -> tuple[str, str]:
    """What a caller sends with each call."""
    return METADATA_KEY, _SCHEME + token


def check_token(given: str | bytes | None, tokens: Sequence[str]) -> None:
    """Make sure that a caller knows one of the tokens.

    Every token is compared, and each in constant time: how long it takes says
    neither which one fits nor how much of it.

    Args:
        given: The value of the caller's ``authorization``, None if there is none.
        tokens: Those that are good.

    Raises:
        UnauthenticatedError: It does not.
    """
    if given is None:
        raise UnauthenticatedError("no token was sent")
    if not isinstance(given, str) or not given.startswith(_SCHEME):
        raise UnauthenticatedError("what was sent is no bearer token")
    token = given.removeprefix(_SCHEME).encode()
    fits = [hmac.compare_digest(token, good.encode()) for good in tokens]
    if not any(fits):
        raise UnauthenticatedError("the token is not one of ours")
