"""What the event bus calls things on Redis and among PostgreSQL's advisory locks."""

from __future__ import annotations

import hashlib
from typing import Final

ENTRY_FIELD: Final = b"e"
"""The field of a stream's entry that holds the envelope."""

GROUP_FIELD: Final = b"g"
"""The field of an entry that is for one group alone, because it is a dead letter's or a
replay's; its value is the group. Other groups acknowledge the entry and do nothing."""

OUTBOX_LOCKS: Final = 0x43534F42
"""The first number of a key's lock ("CSOB"); the second is a hash of type and key.

The form of two 32-bit numbers has a space of its own in PostgreSQL: no lock of
one 64-bit number, such as a migration's, can meet it.
"""

RELAY_LOCKS: Final = 0x43535245
"""The first number of the relays' locks ("CSRE").

The second is that of a partition of the outbox, from 1 to 64. A relay of version 0.1
locks 0 and works on all of it; those of today share that lock, to keep it out. The
event log's partitions are made and dropped by who has -1.
"""


def key_lock(event_type: str, key: str) -> tuple[int, int]:
    """The numbers of the advisory lock that orders the events of one type and key.

    Two keys of one hash share a lock, which costs a wait and breaks nothing.
    """
    digest = hashlib.blake2b(f"{event_type}\0{key}".encode(), digest_size=4).digest()
    return OUTBOX_LOCKS, int.from_bytes(digest, signed=True)
