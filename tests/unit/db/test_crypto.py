from __future__ import annotations

import base64
import math
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cartsnitch_common.config import Settings
from cartsnitch_common.db.crypto import Keyring, Place, SessionData, seal, token_head, unseal
from cartsnitch_common.db.models import UserStoreAccount
from cartsnitch_common.errors import DecryptionError, InvalidFieldError, SettingError
from tests.crash_report import crash_report

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
RING = Keyring({"2026-11": NEW, "2026-05": OLD})
ROW = str(uuid.UUID(int=1))
PLACE = Place("user_store_accounts", "session_data", ROW)
CANARY = "canary-of-a-session"
SESSION: dict[str, Any] = {"cookies": [{"name": "sid", "value": CANARY}], "expires": 1.5}


def refused(ring: Keyring, token: bytes, place: Place = PLACE) -> bool:
    """Whether a token is refused by the one error, which says no more than where it stands."""
    try:
        ring.decrypt(token, place)
    except DecryptionError as error:
        said = f"{place.table}.{place.column} of {place.row}: cannot be decrypted"
        return str(error) == said and error.__cause__ is error.__context__ is None
    return False


def written(*keys: tuple[str, bytes]) -> str:
    return ",".join(f"{key_id}={base64.b64encode(key).decode()}" for key_id, key in keys)


def keyring(text: str) -> Keyring:
    return Keyring.from_settings(Settings.load(encryption_keys=text))


@given(st.binary(max_size=300))
def test_a_plaintext_comes_back(plaintext: bytes) -> None:
    """What was sealed is opened, and no token holds it or repeats another."""
    token = RING.encrypt(plaintext, PLACE)
    assert RING.decrypt(token, PLACE) == plaintext
    assert len(plaintext) < 8 or plaintext not in token
    assert token != RING.encrypt(plaintext, PLACE)


def test_every_truncation_is_refused() -> None:
    """No beginning and no end of a token is one."""
    token = RING.encrypt(CANARY.encode(), PLACE)
    assert all(refused(RING, token[:length]) for length in range(len(token)))
    assert all(refused(RING, token[start:]) for start in range(1, len(token) + 1))
    assert refused(RING, token + b"\0")


def test_every_flip_of_one_bit_is_refused() -> None:
    """Version, key id, nonce, ciphertext and tag are all authenticated."""
    token = RING.encrypt(CANARY.encode(), PLACE)
    for bit in range(len(token) * 8):
        flipped = bytearray(token)
        flipped[bit // 8] ^= 1 << bit % 8
        assert refused(RING, bytes(flipped)), bit


@given(st.binary(max_size=120))
def test_no_other_bytes_are_a_token(token: bytes) -> None:
    """Bytes that no key sealed are refused by the same error, also behind a known head."""
    assert refused(RING, token)
    assert refused(RING, token_head("2026-11") + token)


@pytest.mark.parametrize(
    "elsewhere",
    [
        PLACE._replace(row=str(uuid.UUID(int=2))),
        PLACE._replace(column="hashed_password"),
        PLACE._replace(table="users"),
        PLACE._replace(row=""),
        # The same letters, cut elsewhere.
        Place("user_store_accountss", "ession_data", ROW),
        Place("user_store_accounts", f"session_data{ROW[0]}", ROW[1:]),
    ],
    ids=["row", "column", "table", "no row", "table and column", "column and row"],
)
def test_a_token_opens_nowhere_else(elsewhere: Place) -> None:
    """A token that was copied to another row, column or table is refused."""
    token = RING.encrypt(b"{}", PLACE)
    assert refused(RING, token, elsewhere)
    assert not refused(RING, token)


def test_a_wrong_key_is_refused() -> None:
    """Another key under the same id, and an id that is not in the keyring, look alike."""
    token = RING.encrypt(b"{}", PLACE)
    assert refused(Keyring({"2026-11": OLD}), token)
    assert refused(Keyring({"2026-05": OLD}), token)
    assert refused(Keyring({"2026-05": NEW}), token)


def test_a_token_cannot_be_ascribed_to_another_key_id() -> None:
    """The key's id is bound as well: with it changed, the right key does not open the token."""
    token = RING.encrypt(b"{}", PLACE)
    renamed = token_head("2027-01") + token[len(token_head("2026-11")) :]
    assert refused(Keyring({"2027-01": NEW}), renamed)


def test_the_first_key_encrypts_and_each_decrypts() -> None:
    """A key that was added first takes over, and what an older one sealed stays readable."""
    before, after = Keyring({"2026-05": OLD}), RING
    token = before.encrypt(b"{}", PLACE)
    assert after.decrypt(token, PLACE) == b"{}"
    assert after.encrypt(b"{}", PLACE).startswith(token_head("2026-11"))


def test_no_nonce_repeats() -> None:
    """Each token has a nonce of its own, of 96 random bits."""
    head = len(token_head("2026-11"))
    nonces = {RING.encrypt(b"", PLACE)[head : head + 12] for _ in range(2000)}
    assert len(nonces) == 2000


def test_the_keys_come_from_the_setting() -> None:
    """In the order in which they are written, spaces around them or none."""
    ring = keyring(written(("2026-11", NEW)) + " ,\n " + written(("2026-05", OLD)))
    assert ring.ids == ("2026-11", "2026-05")
    assert ring.decrypt(RING.encrypt(b"{}", PLACE), PLACE) == b"{}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (written(("a", NEW))[2:], "key 1 must be written id=base64"),
        (written(("a", NEW)) + ",", "key 2 must be written id=base64"),
        (written(("a b", NEW)), "key 1 must be written id=base64"),
        (written(("a" * 33, NEW)), "key 1 must be written id=base64"),
        (written(("\N{LATIN SMALL LETTER E WITH ACUTE}", NEW)), "key 1 must be written id=base64"),
        (written(("a", NEW)) + "!", "key 1 must be 32 bytes in base64"),
        (written(("a", NEW)) + "é", "key 1 must be 32 bytes in base64"),
        (written(("a", NEW[:31])), "key 1 must be 32 bytes in base64"),
        (written(("a", NEW), ("b", NEW + b"0")), "key 2 must be 32 bytes in base64"),
        (written(("a", NEW), ("a", OLD)), "key 2 has the id or the bytes of an earlier one"),
        (written(("a", NEW), ("b", NEW)), "key 2 has the id or the bytes of an earlier one"),
    ],
)
def test_a_bad_setting_is_named_and_not_shown(text: str, reason: str) -> None:
    """The error says which key is wrong and how; no report of a crash holds a part of it."""
    with pytest.raises(SettingError, match=reason) as caught:
        keyring(text)
    assert caught.value.setting == "CARTSNITCH_ENCRYPTION_KEYS"
    report = crash_report(caught.value)
    assert "SecretStr" in report
    for key in (NEW, OLD):
        encoded = base64.b64encode(key).decode()
        assert not any(encoded[i : i + 8] in report for i in range(len(encoded) - 8))


def test_without_the_setting_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that needs the keys and has none says which variable to set."""
    monkeypatch.delenv("CARTSNITCH_ENCRYPTION_KEYS", raising=False)
    with pytest.raises(SettingError, match=r"^CARTSNITCH_ENCRYPTION_KEYS: is not set$"):
        Keyring.from_settings(Settings.load())


@pytest.mark.parametrize("keys", [{}, {"": NEW}, {"a": b"short"}, {"a": NEW, "b": NEW}])
def test_a_bad_keyring_is_refused(keys: dict[str, bytes]) -> None:
    """A keyring that code builds keeps the same rules."""
    with pytest.raises(ValueError, match=r"key|id"):
        Keyring(keys)


def test_a_session_is_sealed_into_its_row() -> None:
    """A new account gets its id, and from its row the session comes back as it was."""
    account = UserStoreAccount()
    assert unseal(RING, account) is None
    seal(RING, account, SessionData(SESSION))
    assert account.session_data is not None
    assert CANARY.encode() not in account.session_data
    found = unseal(RING, account)
    assert found is not None
    assert found.get_secret_value() == SESSION


def test_sessions_of_two_rows_cannot_be_swapped() -> None:
    """With the session of one account in the other's row, neither is read."""
    first, second = UserStoreAccount(), UserStoreAccount()
    seal(RING, first, SessionData(SESSION))
    seal(RING, second, SessionData({}))
    first.session_data, second.session_data = second.session_data, first.session_data
    for account in (first, second):
        with pytest.raises(DecryptionError):
            unseal(RING, account)


@pytest.mark.parametrize(
    "session",
    [
        [CANARY],
        CANARY,
        None,
        {CANARY: object()},
        {CANARY: math.nan},
        {("a", "b"): CANARY},
        {"a": CANARY.encode()},
    ],
)
def test_what_json_cannot_hold_is_refused_and_not_shown(session: Any) -> None:
    """The error names the column; no report of a crash holds the session."""
    with pytest.raises(InvalidFieldError, match="session_data: must be an object") as caught:
        seal(RING, UserStoreAccount(), SessionData(session))
    assert CANARY not in crash_report(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "plaintext",
    [b"", b"[]", b"{", b"\xff", b'["canary-of-a-session"]', pytest.param(b"[" * 10**5, id="deep")],
)
def test_a_sealed_text_that_is_no_session_is_refused(plaintext: bytes) -> None:
    """What another program sealed with our key, and is no JSON object, is the same error."""
    account = UserStoreAccount(id=uuid.UUID(ROW), session_data=RING.encrypt(plaintext, PLACE))
    with pytest.raises(DecryptionError) as caught:
        unseal(RING, account)
    assert CANARY not in crash_report(caught.value)


def test_nothing_shows_a_key_or_a_session() -> None:
    """Neither repr nor str of keyring, row and session holds what is secret."""
    account = UserStoreAccount()
    session = SessionData(SESSION)
    seal(RING, account, session)
    assert repr(RING) == str(RING) == "Keyring(2026-11, 2026-05)"
    for thing in (account, session, unseal(RING, account), {"session": session}):
        assert CANARY not in f"{thing!r} {thing}"
