"""What `from cartsnitch.purchase.v1 import ...` finds, with and without grpcio."""

from __future__ import annotations

import subprocess
import sys

import pytest

FACES = [
    f"cartsnitch.{context}.v1"
    for context in ("account", "catalog", "coupon", "pricing", "purchase", "shrinkflation")
]


def run(program: str) -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


@pytest.mark.parametrize("face", FACES)
def test_messages_need_no_grpc(face: str) -> None:
    """Without grpcio a context imports and explains itself; its stub says what to install."""
    run(f"""
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "grpc":
            raise ModuleNotFoundError("No module named 'grpc'", name="grpc")
sys.meta_path.insert(0, Blocker())
sys.modules["grpc"] = None
import pydoc
import {face} as face
from {face} import *
assert "Stub" not in " ".join(dir(face))
pydoc.render_doc(face)
del sys.modules["grpc"]
stub = face.__name__.split(".")[1].capitalize() + "ServiceStub"
try:
    getattr(face, stub)
except ModuleNotFoundError as error:
    assert error.name == "grpc" and "cartsnitch-common[grpc]" in error.__notes__[0], error
else:
    raise AssertionError("the stub was found")
try:
    face.NoSuchName
except AttributeError as error:
    assert "NoSuchName" in str(error)
else:
    raise AssertionError("a name that does not exist was found")
""")


@pytest.mark.parametrize("face", FACES)
def test_the_grpc_names_are_there_once_they_are_used(face: str) -> None:
    """With grpcio the face lists and gives stub, servicer and adder; only then is it loaded."""
    name = f"{face.split('.')[1].capitalize()}Service"
    run(f"""
import sys
import {face} as face
wanted = {{"{name}Stub", "{name}Servicer", "add_{name}Servicer_to_server"}}
assert wanted <= set(dir(face)), dir(face)
assert not wanted & set(face.__all__)
assert "grpc" not in sys.modules
from {face} import {name}Stub, {name}Servicer, add_{name}Servicer_to_server
assert "grpc" in sys.modules
assert {name}Stub is face.{name}Stub and callable(add_{name}Servicer_to_server)
""")
