"""The gRPC server of a service, with everything around its own methods."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any, Final, Self

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckResponse
from grpc_reflection.v1alpha import reflection

from cartsnitch_common.config import setting_name
from cartsnitch_common.errors import SettingError
from cartsnitch_common.rpc.calls import CallInterceptor, CallRules, require_async_handler
from cartsnitch_common.rpc.channel import KEEPALIVE_TIME, MAX_MESSAGE_SIZE
from cartsnitch_common.rpc.tls import server_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from cartsnitch_common.config import Settings
    from cartsnitch_common.rpc.calls import Translate

    type Registrar = Callable[[Any, Any], None]
    """A generated function, such as ``add_PurchaseServiceServicer_to_server``."""

_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_SIZE),
    # Otherwise a second server takes the same port and half of the calls, unseen.
    ("grpc.so_reuseport", 0),
    # A caller that vanished without a word is found, and its calls are cancelled.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # Our channels ask this often; gRPC would take every five minutes for the most.
    ("grpc.http2.min_ping_interval_without_data_ms", round(KEEPALIVE_TIME * 500)),
)


def unchanged(error: Exception) -> Exception:
    """Translate nothing."""
    return error


class Server:
    """Answers calls to services, with health and reflection beside them.

    async with Server(settings, [(add_PurchaseServiceServicer_to_server, purchases)]) as server:
        await server.wait()

    Methods must be async. What they raise is answered as the contract says;
    what it does not name is an incident in the log.
    """

    def __init__(
        self,
        settings: Settings,
        services: Iterable[tuple[Registrar, Any]],
        *,
        translate: Translate = unchanged,
    ) -> None:
        """Prepare a server; call it in the event loop that will run it.

        Args:
            settings: Address, tokens, TLS, the deadline and the grace.
            services: Each with the generated function that adds it.
            translate: Makes one of our exceptions of another, such as
                ``TransactionAbortedError`` of a driver's; returns what it does not know.

        Raises:
            SettingError: No token is set, or a file of TLS cannot be used.
        """
        self._settings = settings
        self._services = list(services)
        self._rules = CallRules(
            tokens=settings.require_rpc_tokens(),
            max_deadline=settings.rpc_max_deadline,
            translate=translate,
        )
        self._credentials = server_credentials(settings)
        self._health = health.aio.HealthServicer()
        self._server: grpc.aio.Server | None = None
        self._port = 0

    @property
    def port(self) -> int:
        """The port that it listens on, once it has started."""
        return self._port

    async def start(self) -> None:
        """Listen, and say that every service is serving.

        Raises:
            SettingError: The address cannot be listened on.
            SetupError: A method is not async.
        """
        server = grpc.aio.server(interceptors=[CallInterceptor(self._rules)], options=_OPTIONS)
        recorder: Any = _Recorder(server)
        for register, servicer in self._services:
            register(servicer, recorder)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, recorder)
        names = [*recorder.names, reflection.SERVICE_NAME]
        reflection.enable_server_reflection(names, server)
        self._port = self._listen(server)
        await server.start()
        self._server = server
        for name in names:
            await self._health.set(name, HealthCheckResponse.SERVING)

    async def stop(self, grace: float | None = None) -> None:
        """Stop: no new call, NOT_SERVING to who watches, time for the calls in flight.

        Args:
            grace: Unit: seconds until what still runs is cancelled; None for CARTSNITCH_RPC_GRACE.
        """
        if self._server is None:
            return
        await self._health.enter_graceful_shutdown()
        await self._server.stop(self._settings.rpc_grace if grace is None else grace)
        self._server = None

    async def wait(self, *signals: signal.Signals) -> None:
        """Wait until the process is told to end, by SIGTERM or SIGINT unless others are named."""
        told = asyncio.Event()
        loop = asyncio.get_running_loop()
        wanted = signals or (signal.SIGTERM, signal.SIGINT)
        for number in wanted:
            loop.add_signal_handler(number, told.set)
        try:
            await told.wait()
        finally:
            for number in wanted:
                loop.remove_signal_handler(number)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def _listen(self, server: grpc.aio.Server) -> int:
        address = f"{self._settings.rpc_host}:{self._settings.rpc_port}"
        try:
            if self._credentials is None:
                return server.add_insecure_port(address)
            return server.add_secure_port(address, self._credentials)
        except RuntimeError:
            reason = f"cannot listen on {address}: is it taken, or not an address of this machine?"
            raise SettingError(setting_name("rpc_port"), reason) from None


class _Recorder:
    """Stands between the generated functions and the server, to learn the services' names."""

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server
        self.names: list[str] = []

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        self._server.add_generic_rpc_handlers(handlers)

    def add_registered_method_handlers(self, name: str, handlers: dict[str, Any]) -> None:
        self.names.append(name)
        for handler in handlers.values():
            require_async_handler(handler)
        self._server.add_registered_method_handlers(name, handlers)
