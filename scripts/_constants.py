"""The module of constants that code without protobuf may know, as text."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pool, message_factory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf import descriptor_pb2

HEAD = """\
from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
"""


@dataclass(kw_only=True)
class Event:
    """One event: the enum member's name, its channel, its publishers, its comment."""

    name: str
    channel: str
    publishers: list[str]
    comment: str


@dataclass
class Facts:
    """What the contract's files say that becomes a constant."""

    enums: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    limits: dict[str, int] = field(default_factory=dict)
    patterns: dict[str, str] = field(default_factory=dict)


def constants_module(full: descriptor_pb2.FileDescriptorSet, mark: str) -> str:
    """Render the module of a descriptor set that has comments and every import."""
    facts = _gather(full)
    lines = [
        '"""The contract\'s enums, events and text limits, for code that knows no protobuf."""',
        "",
        mark,
        HEAD,
        *facts.enums,
        *_event_types(facts.events),
        *_mapping(
            "PUBLISHERS",
            "EventType, frozenset[Service]",
            {f"EventType.{event.name}": _frozenset(event.publishers) for event in facts.events},
            "Which services may publish an event.",
        ),
        *_mapping(
            "MAX_LENGTH",
            "str, int",
            {f'"{name}"': str(limit) for name, limit in sorted(facts.limits.items())},
            "The most characters of a text field, by message and field.",
        ),
        *_mapping(
            "PATTERN",
            "str, str",
            {f'"{name}"': f'r"{text}"' for name, text in sorted(facts.patterns.items())},
            "What a text field looks like: an RE2 expression, by message and field.",
        ),
    ]
    return "\n".join(lines) + "\n"


def _gather(full: descriptor_pb2.FileDescriptorSet) -> Facts:
    # A pool of its own: here the options' extensions are known, in the stubs some are not.
    pool = descriptor_pool.DescriptorPool()
    for file in full.file:
        pool.Add(file)
    facts = Facts()
    for file in full.file:
        if file.name.startswith("cartsnitch/"):
            comments = _comments(file)
            for index, enum in enumerate(file.enum_type):
                facts.enums += _str_enum(enum, comments, (5, index))
            for index, message in enumerate(file.message_type):
                _gather_message(facts, message, comments[4, index], pool)
    return facts


def _gather_message(
    facts: Facts,
    message: descriptor_pb2.DescriptorProto,
    comment: str,
    pool: descriptor_pool.DescriptorPool,
) -> None:
    event_of = pool.FindExtensionByName("cartsnitch.options.v1.event")
    rules_of = pool.FindExtensionByName("buf.validate.field")
    options = _reparsed(message.options, pool)
    if options.HasExtension(event_of):
        event = options.Extensions[event_of]
        services: Any = event.DESCRIPTOR.fields_by_name["publishers"].enum_type
        facts.events.append(
            Event(
                name=_upper_snake(message.name),
                channel=event.channel,
                publishers=[services.values_by_number[n].name for n in event.publishers],
                comment=comment,
            )
        )
    if message.name.endswith(("Request", "Response")):
        return  # what only travels has no column
    for one in message.field:
        text = _reparsed(one.options, pool).Extensions[rules_of].string  # empty without a rule
        if text.max_len or text.len:
            facts.limits[f"{message.name}.{one.name}"] = text.max_len or text.len
        if text.pattern:
            facts.patterns[f"{message.name}.{one.name}"] = text.pattern


def _reparsed(options: Any, pool: descriptor_pool.DescriptorPool) -> Any:
    """Read options again in a pool that knows their extensions."""
    descriptor = pool.FindMessageTypeByName(options.DESCRIPTOR.full_name)
    return message_factory.GetMessageClass(descriptor).FromString(options.SerializeToString())


def _comments(file: descriptor_pb2.FileDescriptorProto) -> dict[tuple[int, ...], str]:
    """The first paragraph of each comment, on one line, by the element's path."""
    found: dict[tuple[int, ...], str] = defaultdict(str)
    for location in file.source_code_info.location:
        first = location.leading_comments.strip().split("\n\n")[0]
        found[tuple(location.path)] = " ".join(first.split())
    return found


def _str_enum(
    enum: descriptor_pb2.EnumDescriptorProto,
    comments: dict[tuple[int, ...], str],
    path: tuple[int, ...],
) -> Iterator[str]:
    prefix = _upper_snake(enum.name) + "_"
    yield from ("", f"class {enum.name}(StrEnum):", f'    """{comments[path]}"""', "")
    for index, value in enumerate(enum.value):
        if value.number:
            name = value.name.removeprefix(prefix)
            yield f'    {name} = "{name.lower()}"'
            yield f'    """{comments[(*path, 2, index)]}"""'
    yield ""


def _event_types(events: list[Event]) -> Iterator[str]:
    yield from ("", "class EventType(StrEnum):")
    yield from ('    """The type of an event, which is the name of its channel."""', "")
    for event in events:
        yield from (f'    {event.name} = "{event.channel}"', f'    """{event.comment}"""')
    yield ""


def _mapping(name: str, types: str, items: dict[str, str], comment: str) -> Iterator[str]:
    yield from ("", f"{name}: Final[Mapping[{types}]] = MappingProxyType({{")
    yield from (f"    {key}: {value}," for key, value in items.items())
    yield from ("})", f'"""{comment}"""')


def _frozenset(publishers: list[str]) -> str:
    members = ", ".join(f"Service.{name.removeprefix('SERVICE_')}" for name in publishers)
    return f"frozenset({{{members}}})"


def _upper_snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper()
