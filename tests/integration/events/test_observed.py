from __future__ import annotations

from typing import Any

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from cartsnitch.event.v1 import PricesUpdated
from cartsnitch_common.config import Settings
from cartsnitch_common.events import Consumer, ConsumerOptions, publish
from cartsnitch_common.events.inbox import SqlInbox
from cartsnitch_common.events.metrics import PrometheusObserver
from cartsnitch_common.events.observe import together
from cartsnitch_common.events.outbox import enqueue, enqueue_all
from cartsnitch_common.events.relay import Relay
from cartsnitch_common.events.tracing import TracingObserver
from tests.event_payloads import prices
from tests.integration.events.consuming import FAST, GROUP, running, until, write_effect

TYPE = "cartsnitch.prices.updated"


async def test_the_way_of_an_event_is_counted_and_traced(
    settings: Settings, effects: Any, redis: Redis
) -> None:
    """From the publisher's span over outbox, relay and stream to a linked span and a count."""
    registry, spans = CollectorRegistry(), InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    metrics = PrometheusObserver(registry)
    with provider.get_tracer("service").start_as_current_span("sync") as sync:
        async with effects.begin() as session:
            await enqueue(session, prices(), service="stickershock", key="k")
            await enqueue_all(session, [(prices(), "k"), (prices(), "l")], service="stickershock")
        told = await publish(redis, prices(), service="stickershock", key="k", observer=metrics)
    assert await Relay(settings, observer=metrics).run_once() == 3

    failed = False

    async def handle(event: Any, session: Any) -> None:
        nonlocal failed
        if not failed:
            failed = True
            raise ValueError
        await write_effect(event, session)

    consumer = Consumer(
        redis,
        SqlInbox(effects),
        group=GROUP,
        options=ConsumerOptions(**FAST),
        observer=together(metrics, TracingObserver(provider)),
    )
    consumer.on(PricesUpdated)(handle)
    async with running(consumer):
        await until(lambda: consumer.stats.handled == 3)

    handled = [span for span in spans.get_finished_spans() if span.name == f"process {TYPE}"]
    assert len(handled) == 4
    context = sync.get_span_context()
    assert f"{context.span_id:016x}" in told.traceparent
    assert {link.context.span_id for span in handled for link in span.links} == {context.span_id}
    assert sum(span.status.is_ok for span in handled) == 3
    count = registry.get_sample_value
    by_group = {"consumer": GROUP, "event_type": TYPE}
    name = "cartsnitch_events_{}".format
    assert count(name("published_total"), {"event_type": TYPE}) == 1
    assert count(name("relayed_total")) == 3
    assert count(name("deliveries_total"), by_group | {"outcome": "handled"}) == 3
    assert count(name("deliveries_total"), by_group | {"outcome": "failed"}) == 1
    assert count(name("effect_seconds_count"), by_group) == 3
