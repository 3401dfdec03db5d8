"""No request holds the event loop for long, however large it is.

Every method of the registry has its largest legal requests here, and those that are refused for
their size. What is measured is processor time of the loop's thread, callback by callback.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import pytest
from exec_server_protocol.limits import (
    NAME_MAX_CHARACTERS,
    REQUEST_MAX_CONTAINERS,
    REQUEST_MAX_ESCAPES,
    REQUEST_MAX_MEMBERS,
    REQUEST_MAX_TEXT_BYTES,
    REQUEST_MAX_VALUES,
    SANDBOX_MAX_BYTES,
)
from exec_server_protocol.methods import REQUESTS
from exec_testkit.loop_watch import Held, LoopWatch, at_this_speed
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireClient
from exec_testkit.wire_params import GOOD_PARAMS

pytestmark = [pytest.mark.alone, pytest.mark.process, pytest.mark.slow]

HELD_SECONDS: Final = 0.030
"""What a request may hold the loop for. The largest take up to 20 ms on a quiet machine; what is to
be found here takes a hundred."""

ATTEMPTS: Final = 3
"""What a request itself takes, it takes each time. A collection of garbage, or what is loaded
with the first of its kind, it does not."""

MIB = 1024 * 1024
TEXT = REQUEST_MAX_TEXT_BYTES - 2048
"""Of a member that takes up all that a request may have."""
PAYLOAD = "QUJD" * (15 * MIB)
"""60 MiB of base64."""
START = {"processId": "p", "argv": ["true"], "cwd": "file:///", "env": {}, "tty": False}
DOTS = "file:///" + "a/../" * 3000
FRAME = 15 * MIB
"""The largest frame of the protocol is 16 MiB."""


def _sandbox(entry: Any, **members: Any) -> dict[str, Any]:
    """Return a context that is filled up with an entry."""
    count = (SANDBOX_MAX_BYTES - 4 * 1024) // (len(json.dumps(entry)) + 40)
    policy = {"type": "restricted", "entries": [entry] * count}
    return {
        "permissions": {"type": "managed", "file_system": policy, "network": "restricted"},
        "windowsSandboxLevel": "disabled",
        "cwd": "file:///",
        **members,
    }


SANDBOXES = [
    _sandbox({"path": {"type": "path", "path": "file:///srv"}, "access": "read"}),
    _sandbox({"path": {"type": "path", "path": DOTS[:9000] + "a"}, "access": "read"}),
    _sandbox({"path": {"type": "glob_pattern", "pattern": "/srv/" + "*a" * 60}, "access": "deny"}),
    _sandbox(
        {"path": {"type": "special", "value": {"kind": "project_roots"}}, "access": "read"},
        workspaceRoots=["file:///srv"] * 50,
    ),
]
PATHS: list[dict[str, Any]] = [
    {"path": "file:///" + "%41" * 5000},
    {"path": DOTS},
    {"path": "file:///" + "a/" * 8000},
    {"path": "file:///x" + "a" * (TEXT - 20)},
    *({"path": "file:///srv/none", "sandbox": sandbox} for sandbox in SANDBOXES),
]


def _padded(params: dict[str, Any]) -> list[dict[str, Any]]:
    """Return params with more than they need: text, strings, members, objects."""
    return [
        params,
        {**params, "more": "\n" * (TEXT // 2)},
        {**params, "more": '",' * (TEXT // 3)},
        {**params, "more": '",' * (REQUEST_MAX_ESCAPES - 5000)},
        {**params, "more": "\u00e9" * (TEXT // 6)},
        {**params, "more": ["x"] * (REQUEST_MAX_VALUES - 100)},
        {**params, "more": {f"m{number}": "x" for number in range(REQUEST_MAX_MEMBERS - 100)}},
        {**params, "more": [{"a": []}] * (REQUEST_MAX_CONTAINERS // 2 - 100)},
        {**params, "more": [[[]] * 15] * 200},
    ]


def _paths(method: str) -> list[dict[str, Any]]:
    found = []
    for path in PATHS:
        for good in GOOD_PARAMS[method]:
            changed = {**good, **({"sandbox": None} if "sandbox" not in path else {}), **path}
            found.append(changed)
    return found


def _two_paths(good: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {**good, **path, "sourcePath": path["path"], "destinationPath": path["path"]}
        for path in PATHS
    ]


NAME = "\x01" * NAME_MAX_CHARACTERS
POLICY = {"inherit": "all", "ignoreDefaultExcludes": True, "exclude": [], "set": {}}
HTTP = {"method": "GET", "url": "http://127.0.0.1:1/", "requestId": "r"}
OF_A_PROCESS = {"processId": NAME}

LARGEST: Final[dict[str, list[Any]]] = {
    "initialize": _padded({"clientName": "x" * 1000}),
    "environment/info": [{}],
    "environment/status": [{}],
    "environment/uptime": [{}],
    "process/start": [
        *_padded(START),
        {**START, "argv": ["true", *(["x"] * (REQUEST_MAX_VALUES - 100))]},
        {**START, "argv": ["true", *(["x" * 13] * (REQUEST_MAX_VALUES - 100))]},
        {**START, "argv": ["x" * TEXT]},
        {**START, "env": {f"V{number}": "x" * 100 for number in range(REQUEST_MAX_MEMBERS - 100)}},
        {**START, "cwd": DOTS},
        {**START, "processId": NAME, "argv": ["\x01" * 5000]},
        *({**START, "processId": f"s{at}", "sandbox": box} for at, box in enumerate(SANDBOXES)),
        {**START, "envPolicy": {**POLICY, "includeOnly": ["*A" * 60 + "B"] * 60}},
        {**START, "envPolicy": {**POLICY, "includeOnly": ["x"] * (REQUEST_MAX_VALUES - 100)}},
        {
            **START,
            "processId": "q",
            "envPolicy": {
                **POLICY,
                "set": {f"A{number}": "" for number in range(REQUEST_MAX_MEMBERS - 100)},
                "includeOnly": ["*B"],
            },
        },
    ],
    "process/read": _padded({**OF_A_PROCESS, "afterSeq": 0, "maxBytes": 2**64 - 1}),
    "process/catchUp": _padded({**OF_A_PROCESS, "afterSeq": 0, "maxBytes": 2**64 - 1}),
    "process/write": [
        {**OF_A_PROCESS, "writeId": NAME, "chunk": PAYLOAD[: 16 * MIB - 1024]},
        {**OF_A_PROCESS, "writeId": NAME, "chunk": PAYLOAD},
        {**OF_A_PROCESS, "writeId": "w", "chunk": PAYLOAD[: TEXT // 4 * 4]},
    ],
    "process/closeStdin": _padded(OF_A_PROCESS),
    "process/resize": _padded({**OF_A_PROCESS, "rows": 1, "cols": 1}),
    "process/signal": _padded({**OF_A_PROCESS, "signal": "interrupt"}),
    "process/terminate": _padded(OF_A_PROCESS),
    "process/list": [{}],
    "fs/readFile": [*_paths("fs/readFile"), {"path": "file:///dev/shm"}],
    "fs/writeFile": [
        *(
            {"path": "file:///proc/none", "dataBase64": PAYLOAD[:size]}
            for size in (4, MIB, 8 * MIB)
        ),
        {"path": "file:///dev/null", "dataBase64": PAYLOAD},
        {"dataBase64": PAYLOAD, "path": "file:///dev/null"},
        {"path": "file:///dev/null", "dataBase64": PAYLOAD[:-1] + "="},
        {**PATHS[1], "dataBase64": PAYLOAD},
    ],
    "fs/createDirectory": [{**params, "path": "file:///proc/none"} for params in PATHS],
    "fs/getMetadata": [*_paths("fs/getMetadata"), *_padded({"path": "file:///"})],
    "fs/canonicalize": _paths("fs/canonicalize"),
    "fs/readDirectory": [*_paths("fs/readDirectory"), {"path": "file:///CROWDED"}],
    "fs/walk": [
        {**params, "options": GOOD_PARAMS["fs/walk"][0]["options"]}
        for params in [*PATHS, {"path": "file:///CROWDED"}]
    ],
    "fs/remove": [{"path": "file:///proc/none" + path["path"][7:]} for path in PATHS[:2]],
    "fs/createSymlink": [
        *({**path, "path": "file:///proc/none", "targetBase64": "dA=="} for path in PATHS),
        {"path": "file:///proc/none", "targetBase64": PAYLOAD[: TEXT // 8 * 4]},
    ],
    "fs/readLink": [*PATHS, *_padded({"path": "file:///"})],
    "fs/setMetadata": [{**path, "path": "file:///proc/none", "fileMode": 0o644} for path in PATHS],
    "fs/copy": _two_paths({"recursive": False}),
    "fs/move": _two_paths({}),
    "fs/open": [{**params, "handleId": "h", "mode": "read"} for params in PATHS],
    "fs/readBlock": _padded({"handleId": "none", "offset": 0, "len": MIB}),
    "fs/writeBlock": [
        {"handleId": "none", "offset": 0, "chunk": PAYLOAD[: MIB // 3 * 4]},
        {"handleId": "none", "offset": 0, "chunk": PAYLOAD},
    ],
    "fs/close": _padded({"handleId": "none"}),
    "fs/watchMissing": [
        {"watchId": 1, "missing": [f"file:///none/{number}" for number in range(1000)]},
        {"watchId": 2, "missing": ["file:///x"] * 4000},
        {"watchId": 3, "missing": [DOTS] * (180_000 // len(DOTS))},
    ],
    "http/request": [
        *_padded(HTTP),
        {**HTTP, "bodyBase64": PAYLOAD},
        {**HTTP, "bodyBase64": PAYLOAD[: 4 * MIB] + "!!!!" + PAYLOAD[: 4 * MIB]},
        {**HTTP, "headers": [{"name": "a", "value": "b"}] * 512},
        {**HTTP, "headers": [{"name": "a", "value": "b" * TEXT}]},
        {**HTTP, "url": "http://127.0.0.1:1/" + "\u00e9" * (TEXT // 6)},
        {**HTTP, "url": "http://" + "\u00e9." * 100_000},
        {**HTTP, "method": "G" * TEXT},
    ],
    "http/request/cancel": _padded({"requestId": NAME}),
    "http/request/credit": _padded({"requestId": NAME, "pieces": 2**64 - 1}),
}
"""The largest requests, for each method. A new method needs some, too."""


class Watched(NamedTuple):
    server: ServerProcess
    watch: LoopWatch
    crowded: str


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("crowded")
    for number in range(100_000):
        os.mknod(folder / f"{number:06}")
    watch = LoopWatch()
    with ServerProcess(
        "--listen", "ws://127.0.0.1:0", command=watch.command, env=watch.env
    ) as server:
        yield Watched(server, watch, str(folder))
    watch.close()


def test_every_method_has_its_largest_requests() -> None:
    assert LARGEST.keys() == REQUESTS.keys()


async def _ask(client: WireClient, number: int, method: str, params: Any) -> None:
    text = json.dumps({"id": number, "method": method, "params": params})
    if len(text) > FRAME:
        await client.connection.send([text[at : at + FRAME] for at in range(0, len(text), FRAME)])
    else:
        await client.send_raw(text)
    await client.outcome(number)


@pytest.mark.parametrize("method", LARGEST)
async def test_no_request_holds_the_loop_for_long(watched: Watched, method: str) -> None:
    client = await WireClient.dial(watched.server.url)
    try:
        if method != "initialize":
            await client.initialize()
            await client.send_raw('{"method":"initialized"}')
            await _ask(client, 1000, method, (GOOD_PARAMS.get(method) or LARGEST[method])[0])
            if method == "http/request":
                await _ask(client, 1001, method, HTTP)
        for number, params in enumerate(LARGEST[method]):
            if params.get("path") == "file:///CROWDED":
                params = {**params, "path": f"file://{watched.crowded}"}
            if number == 0 and method == "initialize":
                await _ask(client, 1000, method, params)  # much is loaded with the first
            held = Held(1.0, "nothing")
            for attempt in range(ATTEMPTS):
                watched.watch.forget()
                await _ask(client, number + 10_000 * attempt, method, params)
                # What answered has been written down once something else was answered.
                await _ask(client, 2000, "environment/status", {})
                held = min(held, watched.watch.longest())
                if held.seconds < at_this_speed(HELD_SECONDS):
                    break
            assert held.seconds < at_this_speed(HELD_SECONDS), (held, number, str(params)[:200])
    finally:
        await client.close()


async def test_the_watch_sees_what_holds_the_loop() -> None:
    watch = LoopWatch()
    with ServerProcess(
        "--listen", "ws://127.0.0.1:0", command=watch.command, env=watch.env
    ) as server:
        client = await WireClient.ready(server.url)  # for the first one, much is loaded
        await client.call("environment/status")
        assert watch.longest().seconds > HELD_SECONDS / 10
        watch.forget()
        assert watch.longest().seconds == 0
        await client.close()
    watch.close()
