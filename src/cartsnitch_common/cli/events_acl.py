"""`cartsnitch events acl`: the users of Redis, and what each may do."""

from __future__ import annotations

import json
import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from cartsnitch_common.cli.options import AsJson
from cartsnitch_common.config import setting_name
from cartsnitch_common.constants import Service
from cartsnitch_common.errors import SettingError
from cartsnitch_common.events import acl as rules
from cartsnitch_common.events.acl import ADMINISTRATOR, OPERATOR, RELAY, RedisUser

_FILE: Final = "--password-file"
_NAMES: Final = (*Service, RELAY, OPERATOR, ADMINISTRATOR)


class Form(StrEnum):
    """How the users are written."""

    FILE = "file"
    COMMANDS = "commands"


def acl(
    *,
    form: Annotated[
        Form, typer.Option("--format", help="A file for aclfile, or commands for redis-cli.")
    ] = Form.FILE,
    password_file: Annotated[
        Path | None,
        typer.Option(_FILE, help="Lines of user:password; they win over the environment."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the users of Redis that the contract asks for; no server is needed.

    Passwords are read from CARTSNITCH_REDIS_PASSWORD_<USER> or the file, and printed as
    hashes. A user without one is printed too, and cannot log in. The file replaces every
    user there is: give a password to `default`, who may do everything, or nobody can
    administer the server.
    """
    users = rules.redis_users(_environment() | _file(password_file))
    for user in users:
        if user.password_hash is None:
            typer.echo(f"{user.name} has no password, and cannot log in", err=True)
    if as_json:
        typer.echo(json.dumps({"users": [_facts(user) for user in users]}))
    else:
        write = rules.acl_file if form is Form.FILE else rules.acl_commands
        typer.echo(write(users), nl=False)


def _environment() -> dict[str, str]:
    given = {name: os.environ.get(setting_name(f"redis_password_{name}")) for name in _NAMES}
    found = {name: password for name, password in given.items() if password}
    for name, password in found.items():
        try:
            password.encode()
        except UnicodeEncodeError:
            raise SettingError(setting_name(f"redis_password_{name}"), "is no UTF-8") from None
    return found


def _file(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeError) as error:
        raise SettingError(_FILE, f"cannot be read ({type(error).__name__})") from None
    passwords = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, password = line.partition(":")
        if not colon or not password or name in passwords:
            reason = f"must hold lines of user:password, one for a user; line {number} is none"
            raise SettingError(_FILE, reason)
        passwords[name] = password
    return passwords


def _facts(user: RedisUser) -> dict[str, object]:
    return {
        "user": user.name,
        "can_log_in": user.password_hash is not None,
        "rules": list(user.words),
    }
