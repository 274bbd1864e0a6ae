"""Who may do what on Redis: a user for each service, made from the contract.

A service publishes on its own channels only, which is plain pub/sub: what must
arrive goes through the outbox, and the relay alone writes to streams. A service reads
the channels and streams that it subscribes to. Nobody runs scripts or administers.

What Redis's rules cannot say: a group cannot be scoped. Who reads a stream may claim
and acknowledge in every group of it, and so keep an event from another service until
it is replayed; it can neither forge nor change one. And everybody may ask which
nodes and commands there are.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cartsnitch_common.constants import EventType, Service
from cartsnitch_common.contract.bindings import bindings
from cartsnitch_common.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cartsnitch_common.contract.bindings import EventBinding

RELAY: Final = "relay"
"""The user of ``cartsnitch events relay``: publishes everything, reads nothing."""

OPERATOR: Final = "operator"
"""The user of a person who looks: reads everything, changes nothing."""

ADMINISTRATOR: Final = "default"
"""Redis's own first user: everything with a password, without one nothing."""

SHORTEST_PASSWORD: Final = 16
"""Redis keeps an unsalted hash of a password, which a short one does not survive."""

# The contract says who publishes an event; who is interested is for each installation
# of the services. These are the platform's: change them here, and nowhere else.
SUBSCRIBERS: Final[Mapping[EventType, frozenset[Service]]] = {
    # The gateway tells the web client of everything. ReceiptWitness normalizes what it
    # has ingested in a second step of its own.
    EventType.RECEIPTS_INGESTED: frozenset({Service.API, Service.RECEIPTWITNESS}),
    # StickerShock compares prices, ClipArtist what a coupon takes off them.
    EventType.PRICES_UPDATED: frozenset({Service.API, Service.STICKERSHOCK, Service.CLIPARTIST}),
    # ShrinkRay compares sizes, ClipArtist finds the products of its coupons.
    EventType.PRODUCTS_NORMALIZED: frozenset({Service.API, Service.SHRINKRAY, Service.CLIPARTIST}),
    EventType.COUPONS_UPDATED: frozenset({Service.API}),
    EventType.PRICE_INCREASE_DETECTED: frozenset({Service.API}),
    EventType.SHRINKFLATION_DETECTED: frozenset({Service.API}),
}

# HELLO and AUTH are open to everybody. SELECT: the URL may name another database. The
# last three: a client of a Cluster asks where the names are, and follows them.
_EVERYBODY: Final = ("+ping", "+select", "+command", "+cluster|slots", "+asking")
_LISTEN: Final = ("+subscribe", "+unsubscribe")
_READ: Final = ("+xreadgroup", "+xpending", "+xinfo|groups")
# SETID opens a group after its replay. To another's it does what reading and acknowledging
# in its name does.
_SETTLE: Final = ("+xack", "+xautoclaim", "+xclaim", "+xgroup|create", "+xgroup|setid")
_LOOK: Final = (
    "+xlen",
    "+xrange",
    "+xrevrange",
    "+xpending",
    "+xinfo|stream",
    "+xinfo|groups",
    "+xinfo|consumers",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisUser:
    """A user and its rules.

    Attributes:
        name: The user's name: a service's, or one of this module's.
        rules: What it may, in the words of ``ACL SETUSER``, without its password.
        password_hash: SHA-256 of its password in hexadecimal; None: it cannot log in.
    """

    name: str
    rules: tuple[str, ...]
    password_hash: str | None = field(default=None, repr=False)

    @property
    def words(self) -> tuple[str, ...]:
        """All of ``ACL SETUSER`` after the user's name; forgets what the user had before."""
        login = ("off",) if self.password_hash is None else ("on", f"#{self.password_hash}")
        return ("reset", *login, *self.rules)


def redis_users(passwords: Mapping[str, str]) -> tuple[RedisUser, ...]:
    """Every user: the services', the relay's and the operator's, and ``default`` as the last.

    Args:
        passwords: By the user's name. Who has none cannot log in.

    Raises:
        SetupError: A name is none of the users', or a password is too short.
    """
    rules = {
        **{service.value: _service_rules(service) for service in Service},
        RELAY: _relay_rules(),
        OPERATOR: _operator_rules(),
        ADMINISTRATOR: ("~*", "&*", "+@all") if ADMINISTRATOR in passwords else ("-@all",),
    }
    for name, password in passwords.items():
        if name not in rules:
            raise SetupError(f"there is no such user of Redis; there are {', '.join(rules)}")
        if len(password) < SHORTEST_PASSWORD:
            raise SetupError(
                f"the password of {name} must have {SHORTEST_PASSWORD} characters or more"
            )
    return tuple(
        RedisUser(name=name, rules=said, password_hash=_hash(passwords.get(name)))
        for name, said in rules.items()
    )


def acl_file(users: Iterable[RedisUser]) -> str:
    """The users as a file for Redis's setting ``aclfile``. It replaces every user there is."""
    return "".join(f"user {user.name} {' '.join(user.words)}\n" for user in users)


def acl_commands(users: Iterable[RedisUser]) -> str:
    """The users as commands for ``redis-cli``; ``default``, who gives them, stays as it is."""
    return "".join(
        f"ACL SETUSER {user.name} {' '.join(user.words)}\n"
        for user in users
        if user.name != ADMINISTRATOR
    )


def publishes(service: Service) -> list[EventBinding]:
    """The events that a service may publish, by the contract."""
    return [binding for binding in bindings() if service in binding.publishers]


def subscribes(service: Service) -> list[EventBinding]:
    """The events that a service may read, by ``SUBSCRIBERS``."""
    return [binding for binding in bindings() if service in SUBSCRIBERS[binding.event_type]]


def _service_rules(service: Service) -> tuple[str, ...]:
    rules: list[str] = [*_nothing(), *_EVERYBODY]
    if read := subscribes(service):
        rules += [*_LISTEN, *_channels(read), *_READ, *_keys("%R~", read)]
        # Selectors: what may be said of these names only with these commands.
        rules.append(_selector(*_SETTLE, *_keys("~", read)))
    if published := publishes(service):
        rules.append(_selector("+publish", *_channels(published)))
    return tuple(rules)


def _relay_rules() -> tuple[str, ...]:
    transaction = ("+multi", "+exec", "+discard")
    sending = ("+xadd", "+publish", *_keys("%W~", bindings()), *_channels(bindings()))
    return (*_nothing(), *_EVERYBODY, *transaction, *sending)


def _operator_rules() -> tuple[str, ...]:
    hearing = (*_LISTEN, *_channels(bindings()))
    return (*_nothing(), *_EVERYBODY, *hearing, *_LOOK, *_keys("%R~", bindings()))


def _nothing() -> tuple[str, ...]:
    # A server may be set up to open all channels to new users.
    return ("resetchannels", "-@all")


def _channels(events: Iterable[EventBinding]) -> list[str]:
    return [f"&{binding.channel}" for binding in events]


def _keys(right: str, events: Iterable[EventBinding]) -> list[str]:
    return [f"{right}{binding.stream}" for binding in events]


def _selector(*rules: str) -> str:
    return f"({' '.join((*_nothing(), *rules))})"


def _hash(password: str | None) -> str | None:
    return None if password is None else hashlib.sha256(password.encode()).hexdigest()
