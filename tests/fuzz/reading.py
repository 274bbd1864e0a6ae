"""What is done with bytes from anywhere, and what may come of it."""

from __future__ import annotations

import time

from cartsnitch_common.contract import binding_of
from cartsnitch_common.errors import CartsnitchError
from cartsnitch_common.events import decode, encode, event_from, payload_of, to_json

SLOWEST = 1.0
"""Unit: seconds of the processor that no envelope may take."""


class TooSlowError(Exception):
    """An input took longer than a reader may be held up."""


def read(data: bytes) -> str:
    """Read bytes as a consumer and `tail` do; whatever they are, only our errors are raised.

    Returns:
        The name of the error, or ``read``.
    """
    start = time.process_time()
    try:
        envelope = decode(data)
        payload = payload_of(envelope)
        event_from(envelope, binding_of(payload).payload)
        to_json(envelope)
        encode(envelope)
    except CartsnitchError as error:
        str(error).encode()
        outcome = type(error).__name__
    else:
        outcome = "read"
    if time.process_time() - start > SLOWEST:
        raise TooSlowError(outcome)
    return outcome
