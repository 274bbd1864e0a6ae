"""Calls between services that fail; the rarer ones are in ``rpc.failures``."""

from __future__ import annotations

from cartsnitch_common.errors.root import CartsnitchError


class CallError(CartsnitchError):
    """a call to a service failed.

    Attributes:
        code: The name of gRPC's status code, such as ``UNAVAILABLE``.
    """

    code = "UNKNOWN"

    def __init__(self, message: str | None = None, *, code: str | None = None) -> None:
        self.code = code if code is not None else type(self).code
        super().__init__(message or (f"the call failed: {code}" if code else None))


class RetryLaterError(CallError):
    """the service asks to call again later.

    Attributes:
        retry_after: Unit: seconds to wait; 0 is at once.
    """

    def __init__(self, *, retry_after: float) -> None:
        super().__init__()
        self.retry_after = retry_after
