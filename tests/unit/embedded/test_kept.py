"""The state file of kept servers: believed only if it is one's own, and only for its processes."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict
from typing import TYPE_CHECKING

import pytest

from cartsnitch_common.embedded import ProcessIdentity, read_kept, stop_kept
from cartsnitch_common.errors import EmbeddedServerError

if TYPE_CHECKING:
    from pathlib import Path

GONE = ProcessIdentity(pid=2**22 - 1, started="long ago")


def write_state(directory: Path, process: ProcessIdentity, mode: int = 0o600) -> Path:
    """A state file in which every process is the one given."""
    server = {"process": asdict(process), "port": 20_000, "url": "postgresql://secret@host/"}
    path = directory / "state.json"
    path.write_text(
        json.dumps({"format": 1, "guard": asdict(process), "postgres": server, "valkey": server})
    )
    path.chmod(mode)
    return path


def test_a_process_that_took_over_an_id_is_left_alone(tmp_path: Path) -> None:
    """Servers long gone: the directory is removed, the ids' new owner is not touched."""
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        write_state(tmp_path, ProcessIdentity(pid=bystander.pid, started="long ago"))
        stop_kept(tmp_path)
        assert bystander.poll() is None
        assert not tmp_path.exists()
    finally:
        bystander.kill()
        bystander.wait()


def test_a_directory_without_kept_servers_is_left_alone(tmp_path: Path) -> None:
    """Nothing is removed that is not a directory of kept servers."""
    with pytest.raises(EmbeddedServerError, match="none are kept"):
        stop_kept(tmp_path)
    assert tmp_path.exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o602])
def test_a_state_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    """It holds passwords and names processes to end: others must not read or write it."""
    write_state(tmp_path, GONE, mode)
    with pytest.raises(EmbeddedServerError, match="not this user's own"):
        read_kept(tmp_path)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """A link in place of the state file is refused like a missing one."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "state.json").symlink_to(write_state(elsewhere, GONE))
    with pytest.raises(EmbeddedServerError, match="none are kept"):
        read_kept(tmp_path)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"format": 2}', '{"guard": {"pid": 1}}'])
def test_a_state_file_that_makes_no_sense_is_refused(tmp_path: Path, content: str) -> None:
    """One clear error, and nothing is removed."""
    path = write_state(tmp_path, GONE)
    path.write_text(content)
    with pytest.raises(EmbeddedServerError, match=r"cannot be understood|another version"):
        stop_kept(tmp_path)
    assert path.exists()


def test_no_url_is_shown(tmp_path: Path) -> None:
    """The repr of kept servers, which logs may hold, has no password in it."""
    write_state(tmp_path, GONE)
    assert "secret" not in repr(read_kept(tmp_path))
