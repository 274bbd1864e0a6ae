"""Page tokens: where the next page begins, bound to the question it belongs to."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import TYPE_CHECKING, Final

from cartsnitch_common.errors import PageTokenError

if TYPE_CHECKING:
    from google.protobuf.message import Message

DEFAULT_PAGE_SIZE: Final = 50
"""What a ``page_size`` of 0 means, for every method of the contract."""

_DIGEST: Final = 12


def to_page_token(request: Message, position: tuple[str, ...]) -> str:
    """Write the token of the page that begins behind a position.

    Args:
        request: The request of this page, with ``page_size`` and ``page_token``.
        position: The sort key of the page's last entry, as text.
    """
    body = json.dumps(position, ensure_ascii=False, separators=(",", ":")).encode()
    return _encode(_digest(request, body) + body)


def from_page_token(request: Message) -> tuple[str, ...] | None:
    """Read the position behind which a request's page begins; None for the first page.

    The digest finds a token that was changed or belongs to another question. It
    is no secret: a position is only ever a place in a list that the caller may read.

    Raises:
        PageTokenError: The token is none that ``to_page_token`` gave for this request.
    """
    token: str = request.page_token  # type: ignore[attr-defined]
    if not token:
        return None
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise PageTokenError from None
    digest, body = raw[:_DIGEST], raw[_DIGEST:]
    # Base64 has several spellings of some bytes; only ours is a token.
    if _encode(raw) != token or digest != _digest(request, body):
        raise PageTokenError
    position: list[str] = json.loads(body)
    return tuple(position)


def page_size(request: Message) -> int:
    """How many entries a request asks for."""
    size: int = request.page_size  # type: ignore[attr-defined]
    return size or DEFAULT_PAGE_SIZE


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _digest(request: Message, body: bytes) -> bytes:
    question = type(request)()
    question.CopyFrom(request)
    question.ClearField("page_size")
    question.ClearField("page_token")
    # Each method has a request of its own, so the name of the message is that of the method.
    name = request.DESCRIPTOR.full_name.encode()
    asked = question.SerializeToString(deterministic=True)
    parts = (name, asked, body)
    return hashlib.sha256(b"".join(len(p).to_bytes(4) + p for p in parts)).digest()[:_DIGEST]
