"""The elements of a compiled contract: each with its options, its comment's promises, its place.

An image is read with the descriptors that it carries itself, so options that only the base or
only the working tree knows are read in full.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# What starts a line of a comment that is part of the contract, to the end of its paragraph.
LABELS: Final = (
    "Unit",
    "Time zone",
    "Order",
    "Currency",
    "Default",
    "Idempotency",
    "Status",
    "Retry",
)
_LABEL: Final = re.compile(rf"({'|'.join(LABELS)}): ")
_ANY_LABEL: Final = re.compile(r"[A-Z][A-Za-z ]{1,20}:( |$)")
_UNSET: Final = re.compile(r"\b[Uu](nset\b[^.;:()]*)")
_NOT_OURS: Final = ("google/", "buf/")
# Of a file, a message, an enum and a service: the lists in it, with their numbers in
# descriptor.proto, by which the source information names an element.
_CHILDREN: Final[dict[str, tuple[tuple[str, int, str], ...]]] = {
    "file": (
        ("message_type", 4, "message"),
        ("enum_type", 5, "enum"),
        ("service", 6, "service"),
        ("extension", 7, "extension"),
    ),
    "message": (
        ("field", 2, "field"),
        ("nested_type", 3, "message"),
        ("enum_type", 4, "enum"),
        ("extension", 6, "extension"),
        ("oneof_decl", 8, "oneof"),
    ),
    "enum": (("value", 2, "enum value"),),
    "service": (("method", 2, "rpc"),),
}

type Options = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One thing that has a name in the contract.

    Attributes:
        name: Its full name; a value's begins with its enum's.
        kind: A word for it, such as "field".
        parent: The full name of what it stands in.
        path: Its file, from the project's root.
        line: From 1.
        options: Every option, flat: ``(buf.validate.field).string.max_len`` to 64.
        promises: The parts of its comment that are contract.
        number: Of an extension, whose it is and its number; else empty.
    """

    name: str
    kind: str
    parent: str
    path: str
    line: int
    options: Options
    promises: frozenset[str]
    number: str


class Contract:
    """An image, read: its elements by full name, and its messages as classes."""

    def __init__(self, image: bytes) -> None:
        plain = descriptor_pb2.FileDescriptorSet.FromString(image)
        self._pool = descriptor_pool.DescriptorPool()
        for file in plain.file:
            self._pool.Add(file)
        # Without an import of descriptor.proto nothing can have a custom option.
        known = any(file.name == "google/protobuf/descriptor.proto" for file in plain.file)
        files = (
            self._class("google.protobuf.FileDescriptorSet").FromString(image) if known else plain
        )
        self.elements: dict[str, Element] = {}
        for file in files.file:
            if not file.name.startswith(_NOT_OURS):
                self.elements |= {element.name: element for element in _elements(file)}

    def _class(self, name: str) -> Any:
        return message_factory.GetMessageClass(self._pool.FindMessageTypeByName(name))

    def empty(self, name: str) -> Any:
        """Make an empty message, by its full name."""
        return self._class(name)()


def _elements(file: Any) -> Iterator[Element]:
    places = {tuple(place.path): place for place in file.source_code_info.location}

    def walk(node: Any, kind: str, scope: str, trail: tuple[int, ...]) -> Iterator[Element]:
        for name, number, child_kind in _CHILDREN.get(kind, ()):
            for index, child in enumerate(getattr(node, name)):
                path = (*trail, number, index)
                place = places.get(path)
                full = f"{scope}.{child.name}"
                yield Element(
                    name=full,
                    kind=child_kind,
                    parent=scope,
                    path=f"proto/{file.name}",
                    line=place.span[0] + 1 if place else 0,
                    options=dict(_flat(child.options, "")),
                    promises=promises(
                        f"{place.leading_comments}\n\n{place.trailing_comments}" if place else ""
                    ),
                    number=f"{child.number} of {child.extendee.lstrip('.')}"
                    if child_kind == "extension"
                    else "",
                )
                yield from walk(child, child_kind, full, path)

    yield from walk(file, "file", file.package, ())


def _flat(message: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """Name every leaf of a message of options by its path."""
    for field, value in message.ListFields():
        name = f"({field.full_name})" if field.is_extension else field.name
        path = f"{prefix}.{name}" if prefix else name
        if field.message_type is None:
            if field.is_repeated:
                yield path, tuple(_scalar(field, one) for one in value)
            else:
                yield path, _scalar(field, value)
        elif not field.is_repeated:
            if field.message_type.full_name.startswith("google.protobuf."):
                # A duration or a point in time: as a pair it compares as it should.
                yield path, (getattr(value, "seconds", 0), getattr(value, "nanos", 0))
            else:
                yield from _flat(value, path)
        elif "id" in field.message_type.fields_by_name:
            for index, one in enumerate(value):
                twice = any(other.id == one.id for other in value[:index])
                key = f"{one.id}#{index}" if twice else one.id
                yield from _flat(one, f"{path}[{key}]")
        else:
            yield path, tuple(text_format.MessageToString(one, as_one_line=True) for one in value)


def _scalar(field: Any, value: Any) -> Any:
    if field.enum_type is None:
        return value
    known = field.enum_type.values_by_number.get(value)
    return known.name if known else value


def promises(comment: str) -> frozenset[str]:
    """Read what a comment promises, however its lines are broken.

    These are the paragraphs that start with one of ``LABELS``, and every "unset ..." up to the
    end of its clause: what a missing value means is as much contract as its unit.
    """
    found: list[list[str]] = []
    labelled = False
    for line in (part.strip() for part in comment.splitlines()):
        if _LABEL.match(line):
            found.append([line])
            labelled = True
        elif not line or _ANY_LABEL.match(line):
            labelled = False
        elif labelled:
            found[-1].append(line)
    text = " ".join(comment.split())
    clauses = [f"u{match.group(1)}".strip() for match in _UNSET.finditer(text)]
    return frozenset([" ".join(lines) for lines in found] + clauses)
