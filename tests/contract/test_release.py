from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

ROOT = Path(__file__).parents[2]


def release(folder: Path) -> Path:
    command = [sys.executable, str(ROOT / "scripts/_generate.py"), "--release", str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return Path(done.stdout.strip())


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return release(tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="module")
def unpacked(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    (inner,) = folder.iterdir()
    return inner


def names(files: descriptor_pb2.FileDescriptorSet) -> set[str]:
    return {file.name for file in files.file}


def test_buf_compiles_the_archive_alone(unpacked: Path, tmp_path: Path) -> None:
    """With buf and no network, the unpacked archive is a whole module."""
    image = tmp_path / "image.binpb"
    buf = Path(sys.executable).with_name("buf")
    offline = {"HOME": str(tmp_path), "PATH": "", "HTTPS_PROXY": "http://127.0.0.1:9"}
    subprocess.run([buf, "build", "-o", image], cwd=unpacked, env=offline, check=True)
    built = descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes())
    ours = descriptor_pb2.FileDescriptorSet.FromString(
        (unpacked / "descriptors.binpb").read_bytes()
    )
    assert names(built) == names(ours)
    assert "buf/validate/validate.proto" in names(ours)


def test_protoc_compiles_the_archive_alone(unpacked: Path, tmp_path: Path) -> None:
    """With `-I proto` and no other folder, protoc finds every import."""
    # Called as a function it adds no include folder of its own; as `-m grpc_tools.protoc` it does.
    program = "import sys; from grpc_tools.protoc import main; sys.exit(main(sys.argv))"
    protos = [str(path.relative_to(unpacked / "proto")) for path in unpacked.rglob("*.proto")]
    target = tmp_path / "set.binpb"
    command = [sys.executable, "-c", program, "-Iproto", f"--descriptor_set_out={target}", *protos]
    subprocess.run(command, cwd=unpacked, check=True)
    assert len(descriptor_pb2.FileDescriptorSet.FromString(target.read_bytes()).file) == len(protos)


def test_the_archive_holds_the_contract(unpacked: Path) -> None:
    """Every proto of ours and every golden vector are in it, unchanged."""
    for folder, inside, kind in (
        ("proto", "proto", "*.proto"),
        ("tests/golden", "golden", "*.json"),
    ):
        paths = list((ROOT / folder).rglob(kind))
        assert len(paths) > 20
        for path in paths:
            copy = unpacked / inside / path.relative_to(ROOT / folder)
            assert copy.read_bytes() == path.read_bytes()


def test_the_archive_is_reproducible(archive: Path, tmp_path: Path) -> None:
    """The same contract gives the same bytes, whenever and wherever it is packed."""
    time.sleep(max(0.0, 1.1 - (time.time() - archive.stat().st_mtime)))  # another second
    again = release(tmp_path / "not" / "there" / "yet")
    digests = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (archive, again)}
    assert len(digests) == 1
    with tarfile.open(archive) as tar:
        members = tar.getmembers()
    assert [one.name for one in members] == sorted(one.name for one in members)
    assert {(one.uid, one.uname, one.mode) for one in members} == {(0, "", 0o644)}
