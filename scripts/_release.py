"""What a client in another language needs of the contract, as one archive.

It holds every proto with everything it imports, the descriptor set, and the golden
vectors; nothing has to be fetched beside it. The same contract gives the same bytes.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf import descriptor_pb2

MTIME: Final = 315_532_800
"""1980-01-01: the earliest time that every unpacker knows."""

README: Final = """\
# The contract of CartSnitch, version {version}

| where | what |
|---|---|
| `proto/` | every file of the contract and every file that it imports: the one include path |
| `descriptors.binpb` | the same as a FileDescriptorSet, with comments |
| `golden/` | for every message: bytes (base64), canonical JSON, and the rules that they break |

A client is right when it decodes each vector, encodes it to the same bytes, prints
the same JSON and finds the same rules broken: `field.path: rule.id`, sorted.
`buf build` and `protoc -I proto` work here as it is.
"""
BUF: Final = "version: v2\nmodules:\n  - path: proto\n"


def write_release(root: Path, full: descriptor_pb2.FileDescriptorSet, folder: Path) -> Path:
    """Write the archive into a folder and return its path.

    Args:
        root: The project.
        full: The compiled contract with every import and with comments.
        folder: Where the archive goes; made if it is not there.
    """
    version = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    name = f"cartsnitch-contract-{version}"
    members = {
        "README.md": README.format(version=version).encode(),
        "buf.yaml": BUF.encode(),
        "descriptors.binpb": full.SerializeToString(deterministic=True),
        **dict(_protos(root, full)),
    }
    for path in (root / "tests/golden").glob("*/*.json"):
        members[f"golden/{path.parent.name}/{path.name}"] = path.read_bytes()
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}.tar.gz"
    target.write_bytes(_archive({f"{name}/{path}": data for path, data in members.items()}))
    return target


def _protos(root: Path, full: descriptor_pb2.FileDescriptorSet) -> Iterator[tuple[str, bytes]]:
    # What protoc itself knows comes from the package that brings protoc.
    bundled = Path(str(files("grpc_tools"))) / "_proto"
    places = [root / "proto", root / "third_party/protovalidate", bundled]
    for file in full.file:
        found = next(place for place in places if (place / file.name).is_file())
        yield f"proto/{file.name}", (found / file.name).read_bytes()


def _archive(members: dict[str, bytes]) -> bytes:
    """A tar.gz of which nothing depends on the day, the machine or the user."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=MTIME) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for path, data in sorted(members.items()):
            member = tarfile.TarInfo(path)
            member.size, member.mtime, member.mode = len(data), MTIME, 0o644
            tar.addfile(member, io.BytesIO(data))
    return packed.getvalue()
