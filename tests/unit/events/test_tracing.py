from __future__ import annotations

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from cartsnitch.event.v1 import PricesUpdated
from cartsnitch_common.events import Event, decode, encode, event_from, wrap
from cartsnitch_common.events.tracing import TracingObserver, current_traceparent
from tests.event_payloads import prices


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def provider(spans: InMemorySpanExporter) -> TracerProvider:
    made = TracerProvider(shutdown_on_exit=False)
    made.add_span_processor(SimpleSpanProcessor(spans))
    return made


def sent(**context: str) -> Event[PricesUpdated]:
    made = wrap(prices(), service="stickershock", key="k", **context)  # type: ignore[arg-type]
    return event_from(decode(encode(made)), PricesUpdated)


def test_a_publishers_span_travels_in_the_envelope(provider: TracerProvider) -> None:
    """Inside a span an envelope carries its W3C text, outside none, and a given one wins."""
    assert current_traceparent() is None
    assert sent().traceparent is None
    with provider.get_tracer("t").start_as_current_span("publish") as span:
        own = span.get_span_context()
        expected = f"00-{own.trace_id:032x}-{own.span_id:016x}-{own.trace_flags:02x}"
        assert sent().traceparent == expected
        given = f"00-{'a' * 32}-{'b' * 16}-00"
        assert sent(traceparent=given).traceparent == given
    assert own.trace_flags.sampled


def test_a_context_without_a_span_has_no_trace() -> None:
    """What else a task carries along, such as baggage, is no span."""
    token = context.attach(baggage.set_baggage("user", "1"))
    try:
        assert current_traceparent() is None
    finally:
        context.detach(token)


def test_a_handler_runs_in_a_span_that_is_linked_to_the_publishers(
    provider: TracerProvider, spans: InMemorySpanExporter
) -> None:
    """The handler's span is a trace of its own, linked, and current while the handler runs."""
    with provider.get_tracer("t").start_as_current_span("publish") as publishing:
        event = sent()
    with TracingObserver(provider).handling("shrinkray", event):
        inside = trace.get_current_span().get_span_context()
        answer = sent()
    handled = spans.get_finished_spans()[-1]
    assert handled.name == "process cartsnitch.prices.updated"
    assert handled.context == inside
    assert handled.parent is None
    (link,) = handled.links
    assert link.context.trace_id == publishing.get_span_context().trace_id
    assert link.context.span_id == publishing.get_span_context().span_id
    assert link.context.is_remote
    assert answer.traceparent is not None
    assert f"{inside.trace_id:032x}" in answer.traceparent
    assert handled.attributes is not None
    assert handled.attributes["messaging.message.id"] == str(event.event_id)
    assert handled.attributes["messaging.consumer.group.name"] == "shrinkray"


@pytest.mark.parametrize("traceparent", [None, f"00-{'0' * 32}-{'0' * 16}-00"])
def test_an_event_without_a_trace_has_a_span_without_a_link(
    provider: TracerProvider, spans: InMemorySpanExporter, traceparent: str | None
) -> None:
    """No trace context, or an empty one, is no link."""
    event = sent(**({} if traceparent is None else {"traceparent": traceparent}))
    with TracingObserver(provider).handling("shrinkray", event):
        pass
    (handled,) = spans.get_finished_spans()
    assert handled.links == ()


def test_a_failing_handler_fails_its_span_without_its_words(
    provider: TracerProvider, spans: InMemorySpanExporter
) -> None:
    """The span tells the error's class, and no message, which may quote the event."""
    observer = TracingObserver(provider)
    with pytest.raises(ValueError, match="jane@"), observer.handling("shrinkray", sent()):
        raise ValueError("jane@example.org")
    (handled,) = spans.get_finished_spans()
    assert handled.status.status_code is StatusCode.ERROR
    assert handled.attributes is not None
    assert handled.attributes["error.type"] == "ValueError"
    assert "jane@" not in handled.to_json()
