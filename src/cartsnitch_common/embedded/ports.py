"""Free TCP ports on the loopback interface."""

from __future__ import annotations

import secrets
import socket
from pathlib import Path

LOOPBACK = "127.0.0.1"

_LOWEST = 20_000
_EPHEMERAL_LINUX = Path("/proc/sys/net/ipv4/ip_local_port_range")
_EPHEMERAL_ELSEWHERE = 32_768


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now.

    It lies below the ports that the system hands to outgoing connections. A
    port among those can be taken while a server is down, even by the server's
    own client: one that tries again and again may get connected to itself.
    Another server may still take the port first, so a start tries again then.
    """
    highest = _EPHEMERAL_ELSEWHERE
    if _EPHEMERAL_LINUX.is_file():
        highest = int(_EPHEMERAL_LINUX.read_text("ascii").split()[0])
    for _ in range(100 if highest - _LOWEST > 1000 else 0):  # noqa: PLR2004 - else too few
        port = _LOWEST + secrets.randbelow(highest - _LOWEST)
        if _is_free(port):
            return port
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the servers do: a port in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
