"""The contract as pydantic dataclasses: ``cartsnitch_common.pydantic``, by betterproto2.

What betterproto2 writes stays as it is, but for one line that pydantic warns of, in the
folder ``_betterproto``, where its relative imports hold. Beside it stands one small face
a context, so that a service imports ``cartsnitch_common.pydantic.purchase.v1``.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from google.protobuf import descriptor_pb2

if TYPE_CHECKING:
    from collections.abc import Sequence

PACKAGE: Final = "cartsnitch_common.pydantic"
GENERATED: Final = "_betterproto"
OPTIONS: Final = "google/protobuf/descriptor.proto"

FRONT: Final = '''"""The contract as pydantic dataclasses, for services that speak JSON over HTTP.

{mark}
Every message and enum of ``proto/`` is here under its context, such as
``from cartsnitch_common.pydantic.purchase.v1 import Purchase``. It needs the extra
``[pydantic]`` and none of the stubs in ``cartsnitch``. In FastAPI use them as
``cartsnitch_common.pydantic_json.Canonical[Purchase]``: by themselves pydantic and
FastAPI render snake_case names, numbers for enums and 64-bit integers, and null for
what is unset, and read nothing else.

The binary form (``SerializeToString``, ``FromString``) and the JSON form (``to_json``,
``from_json``) are those of the C runtime, byte for byte, for every message. What differs:

* Encoding and decoding take hundreds of times longer; events stay with ``cartsnitch``.
* A time keeps microseconds and the years 1 to 9999: what is finer is cut off, in both
  forms, and a time outside is an error.
* Bytes from outside are not checked: a length that reaches past the end is read as far as
  it goes, of a sub-message that comes twice the last replaces the first, and a known field
  of another type and two cases of a oneof are errors.
* ``from_json`` is lenient: it cuts a float where an integer belongs, takes the last of a
  name that comes twice, and a time without a zone for local time.
* An assignment is checked when the message is encoded, not before.
* An enum's values go by their short names: ``StoreSlug.MEIJER``.
* Errors are those of betterproto2 and pydantic.

What comes from outside is therefore read with ``Canonical`` or ``pydantic_json.from_message``:
there the C runtime reads it, a finer time is an error, and errors are ``CartsnitchError``.
"""

try:
    import betterproto2 as _betterproto2
    import pydantic as _pydantic
except ModuleNotFoundError as _error:
    _error.add_note("it comes with the extra: pip install 'cartsnitch-common[pydantic]'")
    raise

__all__: list[str] = []
'''


def write_pydantic(
    cut: descriptor_pb2.FileDescriptorSet, protos: Sequence[str], made: Path, mark: str
) -> None:
    """Generate the package.

    Args:
        cut: The descriptors of the contract, without the rules' file.
        protos: The names of our files in it.
        made: The folder to make it in, as ``src/cartsnitch_common/pydantic`` will be.
        mark: The line that says that a file is generated.
    """
    raw = made / GENERATED
    raw.mkdir(parents=True)
    descriptors = made / "descriptors.binpb"
    descriptors.write_bytes(_without_extensions(cut).SerializeToString())
    _protoc(descriptors, raw, protos)
    descriptors.unlink()
    for path in raw.rglob("__init__.py"):
        path.write_text(_mended(path.read_text()) or mark)
    (raw / "py.typed").unlink()  # that of cartsnitch_common says it
    (made / "__init__.py").write_text(FRONT.replace("{mark}", mark.removeprefix("# ")))
    for version in sorted((raw / "cartsnitch").glob("*/v*")):
        _write_face(version, made / version.parent.name / version.name, mark)


# How betterproto2 0.10 declares its check of oneofs: pydantic warns of it, and pydantic 3 drops it.
ONEOF_CHECK: Final = """
    def check_oneof(cls, values):
        return cls._validate_field_groups(values)
"""
MENDED_CHECK: Final = """
    def check_oneof(self) -> typing.Self:
        return self._validate_field_groups(self)
"""


def _mended(text: str) -> str:
    mended = text.replace(ONEOF_CHECK, MENDED_CHECK)
    if "_validate_field_groups(values)" in mended:
        raise SystemExit("betterproto2 declares its check of oneofs in a new way: see _mended")
    return mended


def _without_extensions(
    cut: descriptor_pb2.FileDescriptorSet,
) -> descriptor_pb2.FileDescriptorSet:
    """Drop the extensions, which betterproto2 has no place for, and what only they need.

    Without the cut all of descriptor.proto would come along as dataclasses.
    """
    kept = descriptor_pb2.FileDescriptorSet()
    for file in cut.file:
        if file.name == OPTIONS:
            continue
        copy = kept.file.add()
        copy.CopyFrom(file)
        copy.ClearField("extension")
        copy.dependency[:] = [name for name in file.dependency if name != OPTIONS]
    return kept


def _protoc(descriptors: Path, out: Path, protos: Sequence[str]) -> None:
    scripts = Path(sys.executable).parent
    command = [
        *(sys.executable, "-m", "grpc_tools.protoc", f"--descriptor_set_in={descriptors}"),
        f"--plugin=protoc-gen-betterproto={scripts / 'protoc-gen-python_betterproto2'}",
        f"--betterproto_out={out}",
        "--betterproto_opt=pydantic_dataclasses,client_generation=none",
        *protos,
    ]
    # The plugin formats with the `ruff` that it finds on PATH: it shall be the pinned one.
    environment = os.environ | {"PATH": f"{scripts}{os.pathsep}{os.environ.get('PATH', '')}"}
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(  # noqa: S603
        command, cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
        raise SystemExit(1)


def _write_face(generated: Path, face: Path, mark: str) -> None:
    """Write what a service imports: every public name of the generated module."""
    context, version = generated.parts[-2:]
    names = sorted(_public_names((generated / "__init__.py").read_text()))
    face.mkdir(parents=True)
    (face.parent / "__init__.py").write_text(
        f'"""The ``{context}`` context of the CartSnitch contract, for pydantic."""\n\n{mark}'
    )
    lines = [
        f'"""Messages and enums of ``cartsnitch.{context}.{version}`` as pydantic dataclasses."""',
        "",
        mark,
        f"from {PACKAGE}.{GENERATED}.cartsnitch.{context}.{version} import (",
        *(f"    {name}," for name in names),
        ")",
        "",
        "__all__ = [",
        *(f'    "{name}",' for name in names),
        "]",
    ]
    (face / "__init__.py").write_text("\n".join(lines) + "\n")


def _public_names(text: str) -> list[str]:
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    raise SystemExit("betterproto2 wrote a module without __all__")
