"""Ports that stay the server's own while it is down."""

from __future__ import annotations

import secrets
import socket
from pathlib import Path

from cartsnitch_common.embedded import ports


def test_a_port_is_free_and_no_outgoing_connection_gets_it() -> None:
    """The port can be listened on, and lies below the ports for outgoing connections."""
    lowest_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for _ in range(20):
        port = ports.free_port()
        assert port < lowest_outgoing
        socket.create_server(("127.0.0.1", port)).close()


def test_a_port_somebody_listens_on_is_not_chosen(monkeypatch) -> None:
    """A taken port is passed over."""
    taken = ports.free_port()
    with socket.create_server(("127.0.0.1", taken)):
        offers = [taken, taken]
        below = secrets.randbelow
        monkeypatch.setattr(
            secrets,
            "randbelow",
            lambda count: offers.pop() - ports._LOWEST if offers else below(count),
        )
        assert ports.free_port() != taken
        assert not offers


def test_a_system_that_hands_out_low_ports_gets_some_port(monkeypatch, tmp_path: Path) -> None:
    """Where outgoing connections use the low ports too, the system chooses."""
    everything = tmp_path / "range"
    everything.write_text("1024 65535\n")
    monkeypatch.setattr(ports, "_EPHEMERAL_LINUX", everything)
    socket.create_server(("127.0.0.1", ports.free_port())).close()
