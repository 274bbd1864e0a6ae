"""What happens around each call that a server answers, whichever service it is for.

From the outside in: the access log, errors as statuses, the token, the
deadline, the rules of the contract, the service's own method.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
import traceback
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import grpc
from google.protobuf.message import DecodeError

from cartsnitch_common.contract import violations
from cartsnitch_common.errors import (
    CartsnitchError,
    InvalidFieldError,
    InvalidRequestError,
    SetupError,
)
from cartsnitch_common.rpc import auth
from cartsnitch_common.rpc import request_id as request_ids
from cartsnitch_common.rpc.errors import is_answer, reason_of, to_status, to_trailing_metadata
from cartsnitch_common.rpc.failures import InternalError, UnauthenticatedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from google.protobuf.message import Message

    type Method = Callable[[Any, Any], Any]
    type Decode = Callable[[bytes], Message]
    type Translate = Callable[[Exception], Exception]

ACCESS_LOG: Final = logging.getLogger("cartsnitch_common.rpc.access")
"""One line a call: who, what, how long, how it ended. Never what was sent or answered."""

_LOG: Final = logging.getLogger("cartsnitch_common.rpc")
_OPEN: Final = "/grpc.health.v1.Health/"
"""Needs no token: an orchestrator's probe has none to send."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRules:
    """What holds for every call of a server.

    Attributes:
        tokens: Those that callers may prove themselves with.
        max_deadline: Unit: seconds until a call is given up, whatever its caller allows.
        translate: Makes one of our exceptions of another, such as a database
            driver's; returns what it does not know.
    """

    tokens: Sequence[str]
    max_deadline: float
    translate: Translate


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Puts the rules around each method."""

    def __init__(self, rules: CallRules) -> None:
        self._rules = rules

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the method that a call asks for."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None  # gRPC answers that there is no such method
        return _wrapped(handler, handler_call_details.method, self._rules)


_KINDS: Final = {
    # Whether requests and answers are streams: the handler's attribute, and what makes one.
    (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler),
    (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler),
    (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler),
    (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler),
}


def require_async_handler(handler: Any) -> None:
    """Refuse a method that would hold up every other call.

    Raises:
        SetupError: It is neither an async method nor an async generator.
    """
    _runner(handler)


def _runner(handler: Any) -> tuple[Method, Callable[[Any], bytes] | None]:
    """What runs a handler's method, and how gRPC encodes the answer; None if it came encoded."""
    method = getattr(handler, _KINDS[handler.request_streaming, handler.response_streaming][0])
    encode = handler.response_serializer
    if method.__module__.endswith("_pb2_grpc"):
        # The generated one: the contract is newer than the service.
        return _unimplemented, encode
    if inspect.iscoroutinefunction(method) and handler.response_streaming:
        return method, encode  # writes for itself
    if inspect.iscoroutinefunction(method):

        async def answer_once(request: Any, context: Any) -> bytes:
            # Encoded here: an answer of the wrong kind is a defect like any other.
            return bytes(encode(await method(request, context)))

        return answer_once, None
    if not inspect.isasyncgenfunction(method):
        raise SetupError(f"{method.__qualname__} must be an async method")

    async def write_all(request: Any, context: Any) -> None:
        # Closed here and now however the call ends: a generator that is left to
        # the garbage collector keeps its session and its connection until then.
        async with aclosing(method(request, context)) as answers:
            async for answer in answers:
                await context.write(encode(answer))

    return write_all, None


async def _unimplemented(_: Any, context: Any) -> None:
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, "the service does not have this method yet")


def _wrapped(handler: Any, name: str, rules: CallRules) -> Any:
    (run, encode), decode = _runner(handler), handler.request_deserializer

    async def behave(request: Any, context: Any) -> Any:
        return await _Call(name, rules, decode, context).answer(run, request)

    make = _KINDS[handler.request_streaming, handler.response_streaming][1]
    # No decoder here: what a stranger sent is not even decoded.
    return make(behave, None, encode)


class _Call:
    """One call, from its first byte to its line in the log."""

    def __init__(self, name: str, rules: CallRules, decode: Decode, context: Any) -> None:
        self._name = name
        self._decode = decode
        self._rules = rules
        self._context = context
        self._metadata = dict(context.invocation_metadata() or ())
        self._code = "CANCELLED"
        self._reason = ""
        self._request_id = request_ids.enter_request(self._metadata.get(request_ids.METADATA_KEY))

    async def answer(self, run: Method, request: Any) -> Any:
        start = time.perf_counter()
        try:
            answer = await self._within_rules(run, request)
            self._code = "OK"
            code = self._context.code()  # a method may have set one without raising
            if code:
                self._code = code.name if isinstance(code, grpc.StatusCode) else str(code)
        except grpc.aio.AbortError:
            self._code = self._aborted_with()
            raise
        except TimeoutError:  # ours: those of a method are translated below
            self._code = grpc.StatusCode.DEADLINE_EXCEEDED.name
            await self._context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "took too long")
        except CartsnitchError as error:
            await self._refuse(error)
        else:
            return answer
        finally:
            self._log(time.perf_counter() - start)

    async def _within_rules(self, run: Method, request: Any) -> Any:
        if not self._name.startswith(_OPEN):
            auth.check_token(self._metadata.get(auth.METADATA_KEY), self._rules.tokens)
        # gRPC cancels a call whose own deadline is over; this is the server's.
        async with asyncio.timeout(self._rules.max_deadline):
            try:
                return await run(self._requests(request), self._context)
            except (grpc.aio.AbortError, grpc.aio.UsageError):
                raise
            except Exception as error:
                answer = self._known(self._rules.translate(error))
                if answer is error:
                    raise
                raise answer from error

    def _requests(self, data: Any) -> Any:
        return self._checked(data) if isinstance(data, bytes) else self._checked_each(data)

    async def _checked_each(self, stream: AsyncIterator[bytes]) -> AsyncIterator[Message]:
        async for data in stream:
            yield self._checked(data)

    def _checked(self, data: bytes) -> Message:
        try:
            request = self._decode(data)
        except DecodeError:
            kind = InvalidFieldError("", "is not a message of this method")
            raise InvalidRequestError([kind]) from None
        found = violations(request)
        if found:
            raise InvalidRequestError(found)
        return request

    def _known(self, error: Exception) -> CartsnitchError:
        if isinstance(error, CartsnitchError) and is_answer(error):
            return error
        incident = InternalError(request_ids.new_request_id())
        _LOG.error(
            "%s failed, incident %s, request %s: %s",
            self._name,
            incident.incident_id,
            self._request_id,
            describe(error),
        )
        return incident

    async def _refuse(self, error: CartsnitchError) -> None:
        if isinstance(error, UnauthenticatedError):
            _LOG.warning("%s refused a caller: %s", self._name, error.why)
        reason = reason_of(error)
        self._reason = reason.value if reason is not None else ""
        status = to_status(error)
        code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
        self._code = code.name
        await self._context.abort(code, status.message, to_trailing_metadata(status))

    def _aborted_with(self) -> str:
        code = self._context.code()
        return code.name if isinstance(code, grpc.StatusCode) else str(code)

    def _log(self, duration: float) -> None:
        peer = _host(self._context.peer())
        milliseconds = round(duration * 1000, 1)
        ACCESS_LOG.info(
            "%s %s in %.1f ms, from %s, request %s",
            self._name,
            self._code,
            milliseconds,
            peer,
            self._request_id,
            extra={
                "rpc_method": self._name,
                "rpc_code": self._code,
                "rpc_reason": self._reason,
                "rpc_duration_ms": milliseconds,
                "rpc_peer": peer,
                "rpc_request_id": self._request_id,
            },
        )


def _host(peer: str) -> str:
    """The address of a peer, without its port: ``ipv4:10.0.0.7:41532`` is ``10.0.0.7``."""
    kind, _, address = peer.partition(":")
    return unquote(address.rpartition(":")[0]) if kind in {"ipv4", "ipv6"} else kind


def describe(error: BaseException) -> str:
    """An error for the log: its classes and places, and no word of what was handled.

    The message is kept of our own exceptions only, which hold no value; that of
    a driver may quote a row.
    """
    causes: list[str] = []
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        text = f": {cause}" if isinstance(cause, CartsnitchError) else ""
        frames = traceback.extract_tb(cause.__traceback__)
        places = [f"{f.name} ({f.filename.rpartition('/')[2]}:{f.lineno})" for f in frames]
        causes.append(f"{type(cause).__name__}{text} in {' > '.join(places) or 'no frame'}")
        cause = cause.__cause__ or cause.__context__
    return ", because of ".join(causes)
