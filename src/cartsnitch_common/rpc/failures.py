"""How a call can fail that no layer below knows of; the others are in ``errors``."""

from __future__ import annotations

from cartsnitch_common.errors import CallError, RetryLaterError


class UnknownReasonError(CallError):
    """the service gave a reason that this version does not know; go by the code.

    Attributes:
        reason: The reason's name.
    """

    def __init__(self, *, code: str, reason: str) -> None:
        super().__init__(f"the call failed: {code}, for the unknown reason {reason}", code=code)
        self.reason = reason


class DeadlineError(CallError):
    """no answer came before the deadline; what was asked may have been done."""

    code = "DEADLINE_EXCEEDED"


class ServiceUnavailableError(CallError):
    """the service cannot be reached now; what was asked may have been done."""

    code = "UNAVAILABLE"


class UnauthenticatedError(CallError):
    """the caller did not prove that it is a service of the platform.

    Attributes:
        why: What was wrong, for the service's own log; never sent.
    """

    code = "UNAUTHENTICATED"

    def __init__(self, why: str | None = None) -> None:
        super().__init__()
        self.why = why


class AccountExpiredError(CallError):
    """the store account cannot be read until its user has logged in at the store.

    Attributes:
        user_store_account_id: The account.
    """

    code = "FAILED_PRECONDITION"

    def __init__(self, user_store_account_id: str) -> None:
        super().__init__()
        self.user_store_account_id = user_store_account_id


class SyncTooSoonError(RetryLaterError):
    """the store account was read too recently to be read again.

    Attributes:
        user_store_account_id: The account.
    """

    code = "RESOURCE_EXHAUSTED"

    def __init__(self, user_store_account_id: str, *, retry_after: float) -> None:
        super().__init__(retry_after=retry_after)
        self.user_store_account_id = user_store_account_id


class InternalError(CallError):
    """the service failed; its log has the cause under the incident's id.

    Attributes:
        incident_id: The id.
    """

    code = "INTERNAL"

    def __init__(self, incident_id: str) -> None:
        super().__init__(f"{self.summary()[:-1]} {incident_id}")
        self.incident_id = incident_id
