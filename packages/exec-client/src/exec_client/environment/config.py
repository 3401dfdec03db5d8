"""Configuration of environments: two variables and ``environments.toml``.

Everything here is pure: text and mappings in, a snapshot out. Nothing connects.

``EXEC_SERVER_URL``, and when it is unset ``CODEX_EXEC_SERVER_URL``, names one executor:

- unset or blank: commands run on this machine;
- ``none`` in any case: there is no environment at all;
- anything else is taken as a URL as it stands, and a bad one fails when it is first used.

``EXEC_SERVER_TOKEN`` is the token to show there, if it asks for one.

``environments.toml`` names several, and wins over both variables when it exists. Executors
are reached over WebSockets only, so an entry with ``program`` is refused.
"""

from __future__ import annotations

import math
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from ..access import token_from_environ
from ..urls import DISABLED, URL_VARIABLES, is_disabled, normalize_url, url_from_environ
from .snapshot import (
    LOCAL_ID,
    REMOTE_ID,
    EnvironmentConfigError,
    EnvironmentSnapshot,
    RemoteEnvironment,
)

__all__ = [
    "URL_VARIABLES",
    "is_disabled",
    "load_snapshot",
    "normalize_url",
    "parse_environments_toml",
    "snapshot_from_url",
    "token_from_environ",
    "url_from_environ",
]

ENVIRONMENTS_FILE: Final = "environments.toml"
CONFIG_DIR_VARIABLE: Final = "CODEX_HOME"

ID_MAX_CHARS: Final = 64
"""Ids end up in prompts, tables and file names."""
_ID_PATTERN: Final = re.compile(r"[A-Za-z0-9_-]+")

_FILE_KEYS: Final = frozenset({"default", "include_local", "environments"})
_PROGRAM_KEYS: Final = ("args", "env", "cwd")
_TIMEOUT_KEYS: Final = ("connect_timeout_sec", "initialize_timeout_sec")
_TOKEN_KEY: Final = "auth_bearer_token"  # noqa: S105 - a name
_ENTRY_KEYS: Final = frozenset({"id", "url", "program", _TOKEN_KEY, *_PROGRAM_KEYS, *_TIMEOUT_KEYS})


def snapshot_from_url(value: str | None, token: str | None = None) -> EnvironmentSnapshot:
    """Return the environments that one variable stands for.

    No URL gives only ``local``, ``none`` gives nothing, and a URL gives only ``remote``: a
    command meant for another machine must not run here by accident.

    Args:
        value: What the variable holds.
        token: To be shown to the executor at that URL.
    """
    url = normalize_url(value)
    if url is None:
        return EnvironmentSnapshot(include_local=True, default=LOCAL_ID)
    if is_disabled(url):
        return EnvironmentSnapshot()
    remote = RemoteEnvironment(REMOTE_ID, url, auth_bearer_token=token)
    return EnvironmentSnapshot(remotes=(remote,), default=REMOTE_ID)


def load_snapshot(
    environ: Mapping[str, str] | None = None, *, config_dir: str | os.PathLike[str] | None = None
) -> EnvironmentSnapshot:
    """Return what the user configured: ``environments.toml`` if it exists, else the variables.

    Args:
        environ: Variables to read; the process's own when ``None``.
        config_dir: Folder of ``environments.toml``. Default: ``$CODEX_HOME``, else ``~/.codex``.

    Raises:
        EnvironmentConfigError: The file cannot be read or breaks a rule.
    """
    variables = os.environ if environ is None else environ
    if config_dir is None:
        config_dir = variables.get(CONFIG_DIR_VARIABLE) or Path("~/.codex").expanduser()
    path = Path(config_dir) / ENVIRONMENTS_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return snapshot_from_url(url_from_environ(variables), token_from_environ(variables))
    except (OSError, UnicodeDecodeError) as error:
        raise EnvironmentConfigError(f"cannot read {ENVIRONMENTS_FILE}: {error}") from error
    return parse_environments_toml(text)


def parse_environments_toml(text: str) -> EnvironmentSnapshot:
    """Return the environments that the text of an ``environments.toml`` describes.

    Raises:
        EnvironmentConfigError: It is not TOML, has unknown keys, or breaks a rule. The text
            says which entry and which key.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise EnvironmentConfigError(f"{ENVIRONMENTS_FILE} is not valid TOML: {error}") from error
    _refuse_unknown(document, _FILE_KEYS, where=ENVIRONMENTS_FILE)
    include_local = document.get("include_local", True)
    if not isinstance(include_local, bool):
        raise EnvironmentConfigError("include_local must be true or false")
    entries = document.get("environments", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise EnvironmentConfigError("environments must be written as [[environments]] tables")
    remotes: dict[str, RemoteEnvironment] = {}
    for position, entry in enumerate(entries, start=1):
        remote = _parse_entry(entry, f"entry {position} of {ENVIRONMENTS_FILE}")
        if remote.id in remotes:
            raise EnvironmentConfigError(f"environment `{remote.id}` is configured twice")
        remotes[remote.id] = remote
    known = {*remotes, LOCAL_ID} if include_local else set(remotes)
    return EnvironmentSnapshot(
        remotes=tuple(remotes.values()),
        default=_parse_default(document.get("default"), known),
        include_local=include_local,
    )


def _parse_default(value: object, known: set[str]) -> str | None:
    if value is None:
        return LOCAL_ID if LOCAL_ID in known else None
    if not isinstance(value, str) or not value.strip():
        raise EnvironmentConfigError("default must be the id of an environment, or `none`")
    default = value.strip()
    if is_disabled(default):
        return None
    if default not in known:
        if default == LOCAL_ID:
            raise EnvironmentConfigError("default is `local`, but include_local is false")
        raise EnvironmentConfigError(f"default names `{default}`, which is not configured")
    return default


def _parse_entry(entry: dict[str, Any], where: str) -> RemoteEnvironment:
    _refuse_unknown(entry, _ENTRY_KEYS, where=where)
    environment_id = _parse_id(entry.get("id"), where)
    named = f"environment `{environment_id}`"
    if ("url" in entry) == ("program" in entry):
        raise EnvironmentConfigError(f"{named} needs a url (and cannot have a program as well)")
    if "program" in entry:
        raise EnvironmentConfigError(
            f"{named} has a program, but there is no stdio transport: run `exec-server` there "
            "and give the url that it prints"
        )
    for key in _PROGRAM_KEYS:
        if key in entry:
            raise EnvironmentConfigError(f"{named}: {key} means nothing beside a url")
    return RemoteEnvironment(
        id=environment_id,
        url=_parse_url(entry["url"], named),
        connect_timeout=_parse_seconds(entry, "connect_timeout_sec", named),
        initialize_timeout=_parse_seconds(entry, "initialize_timeout_sec", named),
        auth_bearer_token=_parse_token(entry.get(_TOKEN_KEY), named),
    )


def _parse_id(value: object, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise EnvironmentConfigError(f"{where} needs an id")
    if value != value.strip():
        raise EnvironmentConfigError(f"{where}: the id must not begin or end with a space")
    if len(value) > ID_MAX_CHARS:
        raise EnvironmentConfigError(f"{where}: the id is longer than {ID_MAX_CHARS} characters")
    if not _ID_PATTERN.fullmatch(value):
        raise EnvironmentConfigError(
            f"{where}: the id may only have ASCII letters, digits, `-` and `_`"
        )
    if value.lower() in (LOCAL_ID, DISABLED):
        raise EnvironmentConfigError(f"{where}: the id `{value}` is reserved")
    return value


def _parse_url(value: object, named: str) -> str:
    url = normalize_url(value) if isinstance(value, str) else None
    if url is None:
        raise EnvironmentConfigError(f"{named}: the url must be text and not blank")
    if not url.startswith(("ws://", "wss://")):
        raise EnvironmentConfigError(f"{named}: the url must begin with ws:// or wss://")
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise EnvironmentConfigError(f"{named}: the url is malformed: {error}") from error
    if not usable or any(character.isspace() for character in url):
        raise EnvironmentConfigError(f"{named}: the url does not name a host to connect to")
    return url


def _parse_token(value: object, named: str) -> str | None:
    if value is None:
        return None
    token = value.strip() if isinstance(value, str) else ""
    if not token or not all("!" <= character <= "~" for character in token):
        raise EnvironmentConfigError(
            f"{named}: {_TOKEN_KEY} must be text without spaces, in ASCII, and not blank"
        )
    return token


def _parse_seconds(entry: dict[str, Any], key: str, named: str) -> float | None:
    value = entry.get(key)
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value < 0:
        raise EnvironmentConfigError(f"{named}: {key} must be a number of seconds, 0 or more")
    return float(value)


def _refuse_unknown(table: dict[str, Any], known: frozenset[str], *, where: str) -> None:
    unknown = sorted(table.keys() - known)
    if unknown:
        raise EnvironmentConfigError(f"{where} has unknown keys: {', '.join(unknown)}")
