"""The event bus on Redis: envelopes, plain pub/sub and durable consumers.

What touches the database is imported by name, so that a service that only
listens needs no SQLAlchemy: ``events.outbox`` writes events in a transaction,
``events.relay`` publishes them, ``events.inbox`` makes a consumer whose effects
happen once.
"""

from __future__ import annotations

from cartsnitch_common.events.client import (
    async_redis,
    check_redis,
    check_redis_sync,
    sync_redis,
)
from cartsnitch_common.events.coalescing import CoalescingPublisher
from cartsnitch_common.events.consumer import Consumer
from cartsnitch_common.events.delivery import ConsumerOptions, ConsumerStats, DeadLetter, Inbox
from cartsnitch_common.events.envelope import (
    EventContext,
    decode,
    encode,
    from_json,
    payload_of,
    to_json,
    wrap,
)
from cartsnitch_common.events.event import Event, event_from
from cartsnitch_common.events.publishing import publish, publish_all, publish_sync
from cartsnitch_common.events.pubsub import (
    PubSub,
    Subscription,
    SubscriptionStats,
    subscribe,
)
from cartsnitch_common.events.replay import EventLog, ReplayStats

__all__ = [
    "CoalescingPublisher",
    "Consumer",
    "ConsumerOptions",
    "ConsumerStats",
    "DeadLetter",
    "Event",
    "EventContext",
    "EventLog",
    "Inbox",
    "PubSub",
    "ReplayStats",
    "Subscription",
    "SubscriptionStats",
    "async_redis",
    "check_redis",
    "check_redis_sync",
    "decode",
    "encode",
    "event_from",
    "from_json",
    "payload_of",
    "publish",
    "publish_all",
    "publish_sync",
    "subscribe",
    "sync_redis",
    "to_json",
    "wrap",
]
