"""Users and their store accounts as messages, and back; never their secrets."""

from __future__ import annotations

from typing import Final

from cartsnitch.account.v1 import User, UserStoreAccount
from cartsnitch_common.convert.mapping import Mapping
from cartsnitch_common.db import models

USER: Final = Mapping(
    row=models.User,
    message=User,
    renamed={"created_at": "create_time", "updated_at": "update_time"},
    private={"hashed_password": "a secret that only the API gateway checks"},
)
USER_STORE_ACCOUNT: Final = Mapping(
    row=models.UserStoreAccount,
    message=UserStoreAccount,
    renamed={"session_expires_at": "session_expire_time", "last_sync_at": "last_sync_time"},
    private={"session_data": "a secret that only ReceiptWitness uses"},
)
