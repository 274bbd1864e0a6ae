"""What pages of rows have in common: where one begins, and how long it is."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Final

PAGE: Final = 50
"""The rows of a page where the caller names no number."""

type Position = tuple[dt.date, uuid.UUID]
"""The day and the id of the row behind which a page begins: never a number of rows to skip."""
