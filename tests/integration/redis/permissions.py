"""What each user of Redis may do, written down by hand, and asked of a live server."""

from __future__ import annotations

import re
import secrets
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cartsnitch_common.events import acl
from tests.redis_servers import RedisNode, one_server

SERVICES = ("api", "receiptwitness", "stickershock", "shrinkray", "clipartist")
USERS = (*SERVICES, "relay", "operator")
CHANNELS = (
    "cartsnitch.receipts.ingested",
    "cartsnitch.prices.updated",
    "cartsnitch.products.normalized",
    "cartsnitch.coupons.updated",
    "cartsnitch.alerts.price_increase",
    "cartsnitch.alerts.shrinkflation",
)
READERS = {
    "cartsnitch.receipts.ingested": {"api", "receiptwitness"},
    "cartsnitch.prices.updated": {"api", "stickershock", "clipartist"},
    "cartsnitch.products.normalized": {"api", "shrinkray", "clipartist"},
    "cartsnitch.coupons.updated": {"api"},
    "cartsnitch.alerts.price_increase": {"api"},
    "cartsnitch.alerts.shrinkflation": {"api"},
}

ON_A_CHANNEL = {
    "PUBLISH {channel} x": "publishers relay",
    "SUBSCRIBE {channel}": "readers operator",
    "XREADGROUP GROUP g c COUNT 1 STREAMS {stream} >": "readers",
    "XACK {stream} g 0-1": "readers",
    "XAUTOCLAIM {stream} g c 0 0 COUNT 1": "readers",
    "XCLAIM {stream} g c 0 0-1 JUSTID": "readers",
    "XPENDING {stream} g": "readers operator",
    "XGROUP CREATE {stream} g 0 MKSTREAM": "readers",
    "XGROUP SETID {stream} g 0": "readers",
    "XADD {stream} MINID ~ 0-1 * e x": "relay",
    "XLEN {stream}": "operator",
    "XRANGE {stream} - + COUNT 1": "operator",
    "XINFO STREAM {stream}": "operator",
    "XINFO GROUPS {stream}": "readers operator",
    "XINFO CONSUMERS {stream} g": "operator",
    # Nobody forges, destroys, or looks past the bus.
    "PSUBSCRIBE {channel}": "",
    "SPUBLISH {channel} x": "",
    "SSUBSCRIBE {channel}": "",
    "PUBLISH {channel}2 x": "",
    "SUBSCRIBE {channel}2": "",
    "XREAD COUNT 1 STREAMS {stream} 0": "",
    "XREADGROUP GROUP g c COUNT 1 STREAMS {stream} foreign > >": "",
    "XREADGROUP GROUP g c COUNT 1 STREAMS {stream}2 >": "",
    "XADD {stream}2 * e x": "",
    "XGROUP DESTROY {stream} g": "",
    "XGROUP DELCONSUMER {stream} g c": "",
    "XDEL {stream} 0-1": "",
    "XTRIM {stream} MAXLEN 0": "",
    "XSETID {stream} 9-9": "",
    "DEL {stream}": "",
    "UNLINK {stream}": "",
    "EXPIRE {stream} 1": "",
    "RENAME {stream} foreign": "",
    "SET {stream} x": "",
    "GET {stream}": "",
    "DUMP {stream}": "",
    "TYPE {stream}": "",
}
"""A command on a channel's names, and who may give it."""

ANYWHERE = {
    "PING": "all",
    "SELECT 0": "all",
    "COMMAND COUNT": "all",
    "CLUSTER SLOTS": "all",
    "MULTI": "relay",
    "EVAL return(1) 0": "",
    "EVALSHA 0000000000000000000000000000000000000000 0": "",
    "SCRIPT FLUSH": "",
    "FUNCTION LIST": "",
    "FCALL f 0": "",
    "ACL LIST": "",
    "ACL SETUSER api allcommands": "",
    "ACL WHOAMI": "",
    "CONFIG GET *": "",
    "CONFIG SET maxmemory 1": "",
    "DEBUG SLEEP 0": "",
    "FLUSHALL": "",
    "FLUSHDB": "",
    "KEYS *": "",
    "SCAN 0": "",
    "RANDOMKEY": "",
    "DBSIZE": "",
    "INFO": "",
    "MONITOR": "",
    "CLIENT LIST": "",
    "CLIENT KILL TYPE normal": "",
    "REPLICAOF NO ONE": "",
    "SHUTDOWN NOSAVE": "",
    "SAVE": "",
    "MODULE LIST": "",
    "SLOWLOG GET": "",
    "LATENCY RESET": "",
    "CLUSTER RESET": "",
    "CLUSTER NODES": "",
    "MIGRATE 127.0.0.1 1 x 0 1": "",
    "SWAPDB 0 1": "",
    "PUBLISH elsewhere x": "",
    "SUBSCRIBE elsewhere": "",
    "PSUBSCRIBE *": "",
    "SET elsewhere x": "",
}


def publishers() -> dict[str, set[str]]:
    """Who publishes on which channel, from the page that people read."""
    page = (Path(__file__).parents[3] / "docs" / "events.md").read_text()
    rows = re.findall(r"^\| `(cartsnitch\.[a-z_.]+)` \| ([a-z, ]+) \|", page, re.MULTILINE)
    return {channel: set(names.split(", ")) for channel, names in rows}


def cells() -> Iterator[tuple[str, list[str], bool]]:
    """Every user, command, and whether the one may give the other."""
    published = publishers()
    assert set(published) == set(CHANNELS)
    for user in USERS:
        for command, who in ANYWHERE.items():
            yield user, command.split(), who == "all" or user in who.split()
        for channel in CHANNELS:
            groups = {"publishers": published[channel], "readers": READERS[channel]}
            for command, who in ON_A_CHANNEL.items():
                stream = f"{{{channel}}}:stream"
                words = [word.format(channel=channel, stream=stream) for word in command.split()]
                may = {name for group in who.split() for name in groups.get(group, {group})}
                yield user, words, user in may


@dataclass(frozen=True, slots=True)
class Guarded:
    """A server with the generated users.

    Attributes:
        node: The server.
        passwords: Each user's. Secrets.
    """

    node: RedisNode
    passwords: dict[str, str]

    def url(self, user: str) -> str:
        """The URL of Redis for a user with the generated rights. A secret."""
        return f"redis://{user}:{self.passwords[user]}@{self.node.address}/0"


@contextmanager
def guarded_server(program: Path | None = None) -> Iterator[Guarded]:
    """A server with the generated users, each with a password, and streams for them."""
    passwords = {user: secrets.token_hex(16) for user in USERS}
    with one_server(program) as node:
        add_users(node, passwords)
        with node.admin() as admin:
            for channel in CHANNELS:
                admin.xadd(f"{{{channel}}}:stream", {"e": "x"})
                admin.xgroup_create(f"{{{channel}}}:stream", "g", id=0)
        yield Guarded(node, passwords)


def add_users(node: RedisNode, passwords: Mapping[str, str]) -> None:
    """Give a server the generated users; who has no password cannot log in."""
    with node.admin() as admin:
        for line in acl.acl_commands(acl.redis_users(passwords)).splitlines():
            assert admin.execute_command(*line.split()) == "OK"


def mistakes(guarded: Guarded) -> tuple[int, list[str]]:
    """Try every cell on a connection of its own; returns how many, and which are wrong."""
    count, wrong = 0, []
    for user, words, allowed in cells():
        reply = answer(guarded.node.port, ("AUTH", user, guarded.passwords[user]), words)
        count += 1
        if allowed is reply.startswith("-NOPERM"):
            wrong.append(f"{user}: {' '.join(words)}: {reply}")
    return count, wrong


def answer(port: int, *commands: Iterable[str]) -> str:
    """The first line of the reply to the last command, on a connection of its own."""
    line = ""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        replies = client.makefile("rb")
        for command in commands:
            words = [f"${len(word)}\r\n{word}\r\n" for word in command]
            client.sendall(f"*{len(words)}\r\n{''.join(words)}".encode())
            line = replies.readline().decode().strip()
        replies.close()
    return line
