"""Encrypted columns: AES-256-GCM, bound to the row that a value stands in.

A token is what the column holds::

    version   1 byte: 1
    length    1 byte: of the key's id
    key id    1 to 32 bytes of ASCII
    nonce     12 bytes, random
    sealed    the ciphertext, as long as the plaintext, and a tag of 16 bytes

What stands before the nonce is authenticated too, and so are table, column and
primary key: in another row, column or table, or after any change, a token is an error.
It is also one under a wrong key. A ciphertext is never handed out as a plaintext. An
older token of the same row opens: who may write rows can bring an older session back.

Keys are 32 random bytes; ``openssl rand -base64 32`` makes one. A key may seal 2**32
tokens (NIST SP 800-38D, 8.3: below that, two of its random nonces are equal with a
probability under 2**-32). A million sessions renewed every hour reach that in half a
year. So that no program meets a key that it does not know, a key is changed in steps:

1. Append the new key to CARTSNITCH_ENCRYPTION_KEYS of every program, and restart them.
2. Put it first, and restart them: from here on it encrypts.
3. `cartsnitch db rotate-keys`, then `cartsnitch db keys --retire <old>`.
4. When that says that no row needs the old key, remove it, and keep it elsewhere for as
   long as backups that hold its tokens.
"""

from __future__ import annotations

import base64
import json
import os
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import Secret

from cartsnitch_common.config import setting_name
from cartsnitch_common.errors import DecryptionError, InvalidFieldError, SettingError
from cartsnitch_common.values.ids import new_uuid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cartsnitch_common.config import Settings
    from cartsnitch_common.db.models import UserStoreAccount

SETTING: Final = setting_name("encryption_keys")

SessionData = Secret[dict[str, Any]]
"""A retailer's session as JSON has it, which neither ``repr`` nor ``str`` shows."""

_VERSION: Final = 1
_KEY_SIZE: Final = 32
_NONCE_SIZE: Final = 12
_KEY_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,32}", re.ASCII)


class Place(NamedTuple):
    """Where a token stands: nowhere else it can be decrypted."""

    table: str
    """The table's name."""

    column: str
    """The column's name."""

    row: str
    """The row's primary key, as text."""

    def __str__(self) -> str:
        """Name it for people."""
        return f"{self.table}.{self.column} of {self.row}"


class Keyring:
    """The keys: the first encrypts, each decrypts. Shows their ids and nothing more."""

    __slots__ = ("_ciphers",)

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        """Take keys by id, the newest first.

        Raises:
            ValueError: There is none, an id or a key is malformed, or one is there twice.
        """
        if not keys or len(set(keys.values())) < len(keys):
            raise ValueError("a keyring needs keys, each another one")
        if not all(_KEY_ID.fullmatch(key_id) for key_id in keys):
            raise ValueError("an id has 1 to 32 letters, digits, dots, underscores and hyphens")
        if any(len(key) != _KEY_SIZE for key in keys.values()):
            raise ValueError(f"a key has {_KEY_SIZE} bytes")
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Read CARTSNITCH_ENCRYPTION_KEYS.

        Raises:
            SettingError: It is not set or malformed; no part of it is shown.
        """
        parsed = _parse(settings.require_encryption_keys())
        if isinstance(parsed, str):
            raise SettingError(SETTING, parsed)
        return cls(parsed)

    def __repr__(self) -> str:
        """Name the keys."""
        return f"Keyring({', '.join(self.ids)})"

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids, that of the key which encrypts first."""
        return tuple(self._ciphers)

    def encrypt(self, plaintext: bytes, place: Place) -> bytes:
        """Seal a plaintext for one place with the newest key."""
        newest = self.ids[0]
        head, nonce = token_head(newest), os.urandom(_NONCE_SIZE)
        sealed = self._ciphers[newest].encrypt(nonce, plaintext, _bound(head, place))
        return head + nonce + sealed

    def decrypt(self, token: bytes, place: Place) -> bytes:
        """Open the token of a place.

        Raises:
            DecryptionError: It was altered or moved, or no key of the keyring made it.
        """
        for key_id, cipher in self._ciphers.items():
            head = token_head(key_id)
            if token.startswith(head):
                nonce, sealed = token[len(head) :][:_NONCE_SIZE], token[len(head) + _NONCE_SIZE :]
                try:
                    return cipher.decrypt(nonce, sealed, _bound(head, place))
                except (InvalidTag, ValueError):
                    break
        # One error for all, and none that carries cryptography's own.
        raise DecryptionError(str(place))


def token_head(key_id: str) -> bytes:
    """What each token of a key begins with, and no token of another key."""
    return bytes((_VERSION, len(key_id))) + key_id.encode("ascii")


def session_place(account_id: object) -> Place:
    """Where the session of an account stands."""
    return Place("user_store_accounts", "session_data", str(account_id))


def seal(keyring: Keyring, account: UserStoreAccount, session: SessionData) -> None:
    """Set an account's session, encrypted. An account without an id gets one.

    Args:
        keyring: The keys.
        account: The row; nothing is flushed.
        session: What JSON can hold, in a ``SessionData`` so that no log shows it.

    Raises:
        InvalidFieldError: It is no JSON object.
    """
    plaintext = _as_json(session)
    if plaintext is None:
        raise InvalidFieldError("session_data", "must be an object that JSON can hold")
    if account.id is None:  # SQLAlchemy gives it one at the flush, which is too late
        account.id = new_uuid()
    account.session_data = keyring.encrypt(plaintext, session_place(account.id))


def unseal(keyring: Keyring, account: UserStoreAccount) -> SessionData | None:
    """Read an account's session; None when it has none.

    Args:
        keyring: The keys.
        account: The row, with ``session_data`` loaded: a query must ask for it by
            ``undefer(UserStoreAccount.session_data)``.

    Raises:
        DecryptionError: It was altered or moved, or its key is not in the keyring.
    """
    if account.session_data is None:
        return None
    place = session_place(account.id)
    session = _from_json(keyring.decrypt(account.session_data, place))
    if session is None:
        raise DecryptionError(str(place))
    return session


# The functions below return, and do not raise, what is wrong: a report of a crash that
# shows the local variables of each frame would show a key or a session.


def _as_json(session: SessionData) -> bytes | None:
    value = session.get_secret_value()
    if not isinstance(value, dict):
        return None
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")
    except (TypeError, ValueError, RecursionError):
        return None


def _from_json(plaintext: bytes) -> SessionData | None:
    try:
        value = json.loads(plaintext)
    except (ValueError, RecursionError):
        return None
    return SessionData(value) if isinstance(value, dict) else None


def _parse(text: str) -> dict[str, bytes] | str:
    """The keys by id, or what is wrong with the text."""
    keys: dict[str, bytes] = {}
    for number, part in enumerate(text.split(","), start=1):
        key_id, _, encoded = part.strip().partition("=")
        if not _KEY_ID.fullmatch(key_id):
            return f"key {number} must be written id=base64, the id of up to 32 letters and digits"
        try:
            key = base64.b64decode(encoded, validate=True)
        except ValueError:  # also of letters that are not ASCII
            key = b""
        if len(key) != _KEY_SIZE:
            return f"key {number} must be {_KEY_SIZE} bytes in base64: `openssl rand -base64 32`"
        if key_id in keys or key in keys.values():
            return f"key {number} has the id or the bytes of an earlier one"
        keys[key_id] = key
    return keys


def _bound(head: bytes, place: Place) -> bytes:
    """The associated data: each part with its length, so that no two places are alike."""
    parts = [part.encode() for part in place]
    return head + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
