"""Params of every method, and copies of them with one thing wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

__all__ = ["GOOD_PARAMS", "VALUES", "Json", "mutants", "text_of"]

_FILE = "file:///srv/x"
_ROOTS = ["file:///srv/ws"]
_PLACES: list[Any] = [
    {"path": {"type": "special", "value": {"kind": "root"}}, "access": "read"},
    {
        "path": {"type": "special", "value": {"kind": "project_roots", "subpath": ".git"}},
        "access": "write",
    },
    {"path": {"type": "special", "value": {"kind": "unknown", "path": ":x"}}, "access": "none"},
    {"path": {"type": "path", "path": _FILE}, "access": "deny", "missing_path_behavior": "skip"},
    {"path": {"type": "glob_pattern", "pattern": "**/*.env"}, "access": "deny"},
]
_SANDBOX: Any = {
    "permissions": {
        "type": "managed",
        "file_system": {"type": "restricted", "entries": _PLACES, "glob_scan_max_depth": 3},
        "network": "restricted",
    },
    "sandboxOverride": "noOverride",
    "cwd": "file:///srv/ws",
    "policyContext": {"cwd": "file:///srv/ws", "workspaceRoots": _ROOTS},
    "workspaceRoots": _ROOTS,
    "userHomeDir": "file:///home/u",
    "temporaryDirectories": ["file:///tmp"],
    "windowsSandboxLevel": "disabled",
    "windowsSandboxProxySettingsMode": "reconcile",
    "useLegacyLandlock": False,
}


def _confined(permissions: Any) -> Any:
    return {"permissions": permissions, "windowsSandboxLevel": "disabled"}


_START = {"processId": "p", "argv": ["a"], "cwd": _FILE, "env": {"A": "b"}, "tty": False}
_PLAIN: dict[str, Any] = {"sandbox": None}
GOOD_PARAMS: Final[dict[str, list[Any]]] = {
    "environment/info": [{}],
    "environment/status": [{}],
    "environment/uptime": [{}],
    "process/start": [
        {
            **_START,
            "metadata": {
                "threadId": "01a201f4-b8d1-7090-9fa8-54f1326fae0f",
                "toolCallId": "c",
            },
            "envPolicy": {
                "inherit": "core",
                "ignoreDefaultExcludes": True,
                "exclude": ["A"],
                "set": {"a": "b"},
                "includeOnly": ["B"],
            },
            "pipeStdin": False,
            "arg0": "x",
            "sandbox": _SANDBOX,
            "enforceManagedNetwork": False,
            "shellSnapshot": {"scopeId": "s", "shell": {"name": "bash", "path": "/bin/bash"}},
        },
        {**_START, "sandbox": _confined({"type": "external", "network": "enabled"})},
        {**_START, "sandbox": _confined({"type": "disabled"})},
        {
            **_START,
            "sandbox": _confined(
                {"type": "managed", "file_system": {"type": "unrestricted"}, "network": "enabled"}
            ),
        },
    ],
    "process/read": [{"processId": "p", "afterSeq": 1, "maxBytes": 2, "waitMs": 3}],
    "process/write": [{"processId": "p", "chunk": "aGk=", "writeId": "w"}],
    "process/signal": [{"processId": "p", "signal": "interrupt"}],
    "process/terminate": [{"processId": "p"}, {"processId": "p", "graceMs": 1000}],
    "fs/readFile": [{"path": _FILE, "followSymlinks": True, "sandbox": _SANDBOX}],
    "fs/writeFile": [{"path": _FILE, "dataBase64": "aGk=", "followSymlinks": True, **_PLAIN}],
    "fs/createDirectory": [{"path": _FILE, "recursive": True, "followSymlinks": True, **_PLAIN}],
    "fs/getMetadata": [{"path": _FILE, "followSymlinks": True, **_PLAIN}],
    "fs/canonicalize": [{"path": _FILE, **_PLAIN}],
    "fs/readDirectory": [{"path": _FILE, **_PLAIN}],
    "fs/walk": [
        {
            "path": _FILE,
            "options": {
                "maxDepth": 1,
                "maxDirectories": 2,
                "maxEntries": 3,
                "followDirectorySymlinks": True,
                "pruneHiddenDirectories": True,
            },
            **_PLAIN,
        }
    ],
    "fs/remove": [
        {"path": _FILE, "recursive": True, "force": True, "followSymlinks": True, **_PLAIN}
    ],
    "fs/copy": [{"sourcePath": _FILE, "destinationPath": _FILE, "recursive": True, **_PLAIN}],
    "fs/open": [{"handleId": "h", "path": _FILE, "mode": "read", **_PLAIN}],
    "fs/readBlock": [{"handleId": "h", "offset": 0, "len": 1}],
    "fs/writeBlock": [{"handleId": "h", "offset": 0, "chunk": "aGk="}],
    "fs/close": [{"handleId": "h"}],
    "fs/watchMissing": [{"watchId": 1, "missing": [_FILE], "present": _FILE}],
    "http/request": [
        {
            "method": "GET",
            "url": "http://x/",
            "headers": [{"name": "a", "value": "b", "valueEnvVar": "C"}],
            "bodyBase64": "aGk=",
            "timeoutMs": 1,
            "redirectPolicy": "follow",
            "requestId": "r",
            "streamResponse": False,
        }
    ],
}
"""Method to params that are fine, with every member of the reference's wire that can be there."""

_UUIDS = ["urn:uuid:{}", "{{{}}}", "{}"]
VALUES: Final = [
    *("null", "true", "0", "-0", "1", "-1", "1.0", "1e2", "1e999", "[]", "{}", '""', '"a b"'),
    *(str(n) for n in (2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**30)),
    *("[1]", "[null]", '["x"]', '{"a":1}', '{"a":"b"}', '{"type":"x"}', '"file:///"', '"/srv"'),
    *(json.dumps(form.format("01a201f4-b8d1-7090-9fa8-54f1326fae0f")) for form in _UUIDS),
    *('"01A201F4B8D170909FA854F1326FAE0F"', '"aGk"', '"aGl="', '"aGk=\\n"', '"-_=="'),
    *(
        json.dumps(word)
        for word in (
            *("all", "none", "core", "stop", "skip", "replace", "write", "deny", "read"),
            *("root", "minimal", "tmpdir", "slash_tmp", "current_working_directory", "unknown"),
            *("project_roots", "managed", "unrestricted", "external", "disabled", "path"),
            *("preserve", "restricted-token", "mxc", "restricted", "enabled", "no_such_word"),
            *("bypassSandboxFirstAttempt", "escalatedSandboxWithRestrictions"),
        )
    ),
]
"""What is put in the place of each member in turn, as JSON."""


class Json(str):
    """JSON that is put into a text as it is: ``1e2`` is no ``100.0``."""


def text_of(value: Any) -> str:
    """Return a value as JSON; one of ``VALUES`` is spelled as it is there."""
    if isinstance(value, Json):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k)}:{text_of(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(text_of, value)) + "]"
    return json.dumps(value)


def mutants(value: Any) -> Iterator[Any]:
    """Yield copies that differ in one place: another value, a member less, a member more."""
    yield from map(Json, VALUES)
    if isinstance(value, dict):
        yield {**value, "newer": Json("[1e999]")}
        for key, item in value.items():
            yield {k: v for k, v in value.items() if k != key}
            yield from ({**value, key: mutant} for mutant in mutants(item))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            before, after = value[:index], value[index + 1 :]
            yield from ([*before, mutant, *after] for mutant in mutants(item))
