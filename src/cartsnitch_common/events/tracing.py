"""W3C trace context of events; the spans of handlers need the extra ``tracing``.

A publisher whose process uses OpenTelemetry puts its current span into each envelope:
``current_traceparent`` finds it. A consumer with a ``TracingObserver`` handles each event
in a span of its own that is linked to the publisher's:

    consumer = Consumer(redis, inbox, group="stickershock", observer=TracingObserver())

The span is linked and no child: an event may be handled days later, by several services,
and again in a replay, and a trace that never ends can be neither sampled nor read.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import cartsnitch_common
from cartsnitch_common.errors import MissingExtraError
from cartsnitch_common.events.observe import Silent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.trace import Link, Tracer, TracerProvider

    from cartsnitch_common.events.event import Event

_API: Final = "opentelemetry.trace"
_CONTEXT: Final = "opentelemetry.context"  # which the one above imports
_PARTS: Final = 4


def current_traceparent() -> str | None:
    """The current span of this task as W3C text; None when there is none.

    Nothing is imported: a process that has not loaded OpenTelemetry has no span.
    """
    trace: Any = sys.modules.get(_API)
    if trace is None or not hasattr(trace, "get_current_span"):  # half loaded by another thread
        return None
    if not sys.modules[_CONTEXT].get_current():  # there is none: what follows finds out slowly
        return None
    span = trace.get_current_span()
    if span is trace.INVALID_SPAN:
        return None
    context = span.get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & 0xFF:02x}"


class TracingObserver(Silent):
    """An observer that surrounds each delivery to a handler with a span."""

    def __init__(self, provider: TracerProvider | None = None) -> None:
        """Take a tracer.

        Args:
            provider: Whose; by default OpenTelemetry's global one.

        Raises:
            MissingExtraError: ``opentelemetry-api`` is not installed.
        """
        try:
            self._trace: Any = import_module(_API)
        except ModuleNotFoundError as error:
            raise MissingExtraError("tracing", "opentelemetry-api") from error
        self._tracer: Tracer = self._trace.get_tracer(
            "cartsnitch_common.events", cartsnitch_common.__version__, provider
        )

    @contextmanager
    def handling(self, consumer: str, event: Event[Any]) -> Iterator[None]:
        """See ``Observer``. What the handler raises is told by its class alone."""
        span = self._tracer.start_span(
            f"process {event.type}",
            kind=self._trace.SpanKind.CONSUMER,
            links=self._links(event.traceparent),
            attributes={
                "messaging.system": "redis",
                "messaging.operation.type": "process",
                "messaging.destination.name": event.type.value,
                "messaging.consumer.group.name": consumer,
                "messaging.message.id": str(event.event_id),
            },
        )
        try:
            with self._trace.use_span(span, record_exception=False, set_status_on_exception=False):
                yield
        except BaseException as error:
            # Its message may hold what the event holds.
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(self._trace.StatusCode.ERROR)
            raise
        finally:
            span.end()

    def _links(self, traceparent: str | None) -> list[Link]:
        parts = (traceparent or "").split("-")
        if len(parts) != _PARTS:
            return []
        context = self._trace.SpanContext(
            trace_id=int(parts[1], 16),
            span_id=int(parts[2], 16),
            is_remote=True,
            trace_flags=self._trace.TraceFlags(int(parts[3], 16)),
        )
        return [self._trace.Link(context)] if context.is_valid else []
