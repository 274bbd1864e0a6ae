"""What a service's own tests import.

    pytest_plugins = ["cartsnitch_common.testing.plugin"]

gives a test real servers: ``cartsnitch_settings`` for a database at head, empty
and its own, and an empty Redis. Without servers, ``bus.MemoryBus`` and
``memory_inbox.MemoryInbox`` are the event bus in memory.
"""
