"""What follows from the method table: capabilities, handlers, twins; and nothing beside it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import exec_client
import exec_client.environment
import exec_client.filesystem
import exec_client.http
import exec_client.sync
import exec_client.sync.filesystem
import exec_client.sync.http
import pytest
from exec_client.process.output import OutputStream
from exec_server.config import ServerConfig
from exec_server.handlers.environment import CAPABILITIES
from exec_server.service import Service
from exec_server_protocol import capabilities
from exec_server_protocol.methods import METHODS, REQUESTS, Method

ROOT = Path(__file__).parents[2]

OPERATIONS_OF_WORKERS = {"files.py", "held_files.py", "lane.py", "result_text.py", "watch.py"}
"""Modules of the server that name what a file worker is asked, which is often called the same."""

WITHOUT_A_TWIN: dict[type, set[str]] = {
    exec_client.Client: {
        "aclose",  # close
        *("open", "require", "supports"),  # for this package and its command line
    },
    exec_client.environment.Environment: {
        "aclose",  # close
        *("client", "is_connected", "start_connecting", "startup_finished"),  # about its loop
    },
    exec_client.Process: {  # for the session
        *("ask_to_end", "asked", "caught_up", "ended", "fail", "in_background", "leave"),
        *("publish", "receive"),
        *("streams_ended", "synchronize", "wanted", "written_bytes"),
    },
    OutputStream: {  # for the process
        *("awaited", "buffered", "discard", "drop_oldest", "end", "ended", "expendable", "feed"),
        *("feed_hole", "mark_expendable", "read_at", "take_all"),
    },
    exec_client.filesystem.FileSystem: {"session"},  # for this package
    exec_client.http.Http: set(),
}
"""What of a class is no method for callers without ``async``."""

TWINS: list[tuple[type, type]] = [
    (exec_client.Client, exec_client.sync.Client),
    (exec_client.environment.Environment, exec_client.sync.Environment),
    (exec_client.Process, exec_client.sync.Process),
    (OutputStream, exec_client.sync.OutputStream),
    (exec_client.filesystem.FileSystem, exec_client.sync.filesystem.FileSystem),
    (exec_client.http.Http, exec_client.sync.http.Http),
]

NAMED = [row for row in METHODS.values() if row.capability is not None]


@pytest.mark.parametrize("row", NAMED, ids=lambda row: row.name)
def test_what_announces_a_method_is_announced_by_the_server(row: Method[Any, Any]) -> None:
    assert CAPABILITIES.get(str(row.capability)) is True


def test_each_capability_of_ours_is_announced_and_none_has_two_names() -> None:
    named = {name: getattr(capabilities, name) for name in capabilities.__all__}
    flags = [flag for name, flag in named.items() if name.startswith("CAPABILITY_")]
    assert sorted(set(flags)) == sorted(flags)
    assert {flag for flag in flags if CAPABILITIES.get(flag) is not True} == set()


def test_each_request_of_the_table_has_a_handler() -> None:
    assert Service(ServerConfig(), 0.0).handlers.load_all().keys() == REQUESTS.keys()


def test_events_are_not_repeated_and_each_request_that_changes_nothing_is() -> None:
    repeatable = {row.name for row in METHODS.values() if row.repeatable}
    assert repeatable <= REQUESTS.keys()
    assert {row.name for row in REQUESTS.values() if row.takes_no_params} <= repeatable


def test_the_names_of_methods_stand_in_the_table_alone() -> None:
    names = {name for name in METHODS if "/" in name}
    found = [
        f"{file.relative_to(ROOT)}:{node.lineno}: {node.value}"
        for side in ("client", "server")
        for file in sorted((ROOT / f"packages/exec-{side}/src").rglob("*.py"))
        if side == "client" or file.name not in OPERATIONS_OF_WORKERS
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in names
    ]
    assert found == []


@pytest.mark.parametrize(("ours", "twin"), TWINS, ids=lambda kind: kind.__name__)
def test_what_can_be_awaited_can_be_called_without_async(ours: type, twin: type) -> None:
    missing = _public(ours) - _public(twin)
    assert missing == WITHOUT_A_TWIN[ours], "add the twin, or say why there is none"


def test_each_class_of_the_sync_module_is_compared() -> None:
    exported = {getattr(exec_client.sync, name) for name in exec_client.sync.__all__}
    classes = {kind for kind in exported if isinstance(kind, type) and kind.__name__ != "timeout"}
    assert classes <= {twin for _, twin in TWINS}


def test_what_a_client_can_be_asked_can_be_asked_of_an_environment() -> None:
    of_a_connection = {"call", "open", "require", "session_id", "state", "state_changes"}
    of_a_connection |= {"environment_info", "supports", "url"}
    missing = _public(exec_client.Client) - _public(exec_client.environment.Environment)
    assert missing == of_a_connection


def test_the_table_loads_no_pydantic() -> None:
    code = "import sys, exec_server_protocol.methods; print('pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def _public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}
