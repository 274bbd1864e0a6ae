"""A canary for each secret and each personal field, and how one is seen."""

from __future__ import annotations

import base64
import datetime as dt
import logging
import traceback
import uuid
from typing import TYPE_CHECKING, Any

from cartsnitch_common.db.models import Purchase, Store
from tests.crash_report import crash_report

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

CANARY = "c4n4ryb1rd"
PERSONAL = {
    "email": f"{CANARY}@parent.example",
    "display_name": f"Ada {CANARY}",
    "hashed_password": f"$argon2${CANARY}",
}
RAW = {"member": f"{CANARY} Lovelace", "address": f"12 {CANARY} Street"}
SESSION = {"cookie": f"sid={CANARY}", "home": f"12 {CANARY} Street"}
KEY = f"{CANARY}{'A' * 33}="  # 32 bytes in base64
OLD_KEY = f"{CANARY}{'B' * 32}A="
KEYS = f"new={KEY},old={OLD_KEY}"
TOKEN = f"{CANARY}-of-an-rpc-token-that-is-long-enough"
STORE = uuid.UUID(int=1)


def sightings(text: str) -> list[str]:
    """The canaries in a text: in clear, in hexadecimal, in base64, as a key's bytes."""
    forms = {CANARY, CANARY.encode().hex(), str(base64.b64decode(KEY))[2:10]}
    for shift in range(3):  # what begins anywhere has three forms, but for its ends
        encoded = base64.b64encode(b"x" * shift + CANARY.encode()).decode()
        forms.add(encoded[4 if shift else 0 : -4])
    return [form for form in forms if form.lower() in text.lower()]


def told(error: BaseException) -> str:
    """All that a log or a tracker of errors shows of an error."""
    record = logging.LogRecord("x", 40, "x", 1, "m", None, (type(error), error, None))
    return "\n".join(
        [
            *traceback.format_exception(error),
            logging.Formatter().format(record),
            repr(error),
            repr(vars(error)),
            crash_report(error),
        ]
    )


def purchase(**values: Any) -> Purchase:
    given = {
        "store_id": STORE,
        "receipt_id": CANARY,
        "purchase_date": dt.date(2026, 3, 10),
        "total": 1,
        "raw_data": RAW,
        "source_url": f"https://shop.example/{CANARY}",
    }
    row = {**given, **values}
    return Purchase(**row)


def insert_all(session: Session, rows: list[Any]) -> None:
    """Insert a store, and then rows one by one."""
    for row in (Store(id=STORE, name="Meijer", slug="meijer"), *rows):
        session.add(row)
        session.flush()
