"""A service of accounts whose methods do what a test wants."""

from __future__ import annotations

from typing import Any

from cartsnitch.account.v1 import (
    AccountServiceServicer,
    GetUserStoreAccountRequest,
    add_AccountServiceServicer_to_server,
)
from tests.rows import NOTHING

ASK = GetUserStoreAccountRequest(id=NOTHING)


class Accounts(AccountServiceServicer):
    """Does what a test gives it, and counts."""

    def __init__(self, behaviour: Any) -> None:
        self._behaviour = behaviour
        self.calls = 0

    async def GetUserStoreAccount(self, request: Any, context: Any) -> Any:  # noqa: N802, D102
        self.calls += 1
        return await self._behaviour(request, context)

    ListUserStoreAccounts = RequestSync = GetUserStoreAccount  # type: ignore[assignment]
    ConnectUserStoreAccount = GetUserStoreAccount  # type: ignore[assignment]
    DisconnectUserStoreAccount = GetUserStoreAccount  # type: ignore[assignment]

    @property
    def added(self) -> tuple[Any, Any]:
        """What a server takes."""
        return add_AccountServiceServicer_to_server, self
