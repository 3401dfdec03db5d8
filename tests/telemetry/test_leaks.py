"""Nothing that a client or a child made up leaves: markers everywhere, every byte scanned."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from exec_client import ClientError, ClientOptions, connect
from exec_server_protocol.errors import RpcError
from exec_testkit.otlp import Collector
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireClient

pytestmark = [pytest.mark.process, pytest.mark.slow]

MARK = "Zq7Marker"
ENCODED = [base64.b64encode(b" " * n + MARK.encode() + b" " * (3 - n))[4:-4] for n in range(3)]
"""How the marker looks inside base64, wherever it begins."""


@pytest.fixture
def server(collector: Collector) -> Iterator[ServerProcess]:
    arguments = ("--session-ttl-seconds", "1", "--log-format", "json", "--log-level", "debug")
    with ServerProcess(*arguments, env=collector.environ) as process:
        yield process


def _assert_clean(data: bytes, *secrets: str) -> None:
    lower = data.lower()
    for secret in (MARK.lower().encode(), *(text.encode() for text in secrets)):
        at = lower.find(secret.lower())
        assert at < 0, data[max(0, at - 200) : at + 100]
    for piece in ENCODED:
        assert piece not in data


async def _say_everything(url: str, folder: Path) -> WireClient:
    """Use each part of the protocol, with the marker in every text that a client chooses."""
    client = await WireClient.dial(url)
    params = {"clientName": MARK, "resumeSessionId": None}
    await client.send_raw(json.dumps({"id": MARK, "method": "initialize", "params": params}))
    client.session_id = (await client.answer(MARK))["sessionId"]
    await client.send_raw('{"method":"initialized"}')
    file = (folder / MARK).as_uri()
    requests: list[tuple[str, Any]] = [
        ("process/start", {"processId": MARK, "argv": [f"/{MARK}"], "cwd": "file:///", "env": {}}),
        ("process/start", {"processId": MARK, "argv": ["true"], "cwd": file, "env": {}}),
        ("process/start", {MARK: MARK}),
        ("process/read", {"processId": MARK}),
        ("process/write", {"processId": MARK, "chunk": "", "writeId": MARK}),
        ("fs/writeFile", {"path": file, "dataBase64": base64.b64encode(MARK.encode()).decode()}),
        ("fs/readFile", {"path": file}),
        ("fs/readFile", {"path": file + MARK}),
        ("fs/open", {"handleId": MARK, "path": file}),
        ("fs/readDirectory", {"path": MARK}),
        ("http/request", _http(f"http://{MARK}.localhost:1/{MARK}")),
        ("http/request", _http(f"{MARK}://x")),
        ("environment/status", {MARK: MARK}),
    ]
    for method, request in requests:
        if method == "process/start" and "tty" not in request:
            request["tty"] = False
        await client.outcome(await client.request(method, request))
    env = {"PATH": "/bin:/usr/bin", MARK: MARK}
    script = f"echo {MARK}; echo {MARK} >&2; cat; : {MARK}"
    for tty in (False, True):
        name = f"{MARK}-{tty}"
        await client.start(name, ["sh", "-c", script], env=env, tty=tty, pipeStdin=True, arg0=MARK)
        chunk = base64.b64encode(f"{MARK}\n".encode()).decode()
        write = {"processId": name, "chunk": chunk, "writeId": MARK}
        await client.call("process/write", write)
        await client.call("process/terminate", {"processId": name})
        await client.finish(name)
    await client.send_raw('{"id":"%s","method":5}' % MARK)  # noqa: UP031 - braces
    await client.send_raw(f"{MARK}")
    assert await client.outcome(-1) == -32600
    return client


def _http(url: str) -> dict[str, Any]:
    header = {"name": f"x-{MARK}", "value": MARK}
    body = base64.b64encode(MARK.encode()).decode()
    common = {"requestId": MARK, "method": MARK, "bodyBase64": body}
    return {**common, "url": url, "headers": [header]}


async def test_no_text_of_a_client_or_a_child_is_exported_or_logged(
    server: ServerProcess, collector: Collector, tmp_path: Path
) -> None:
    client = await _say_everything(server.url, tmp_path)
    session_id = client.session_id
    client.abort()

    def over() -> bool:
        metric = collector.latest("exec_server_session_events_total")
        return metric is not None and (("event", "expired"),) in metric.points

    await asyncio.to_thread(collector.wait_until, over)
    await asyncio.to_thread(collector.span, "http/request")
    log = server.log()
    server.close()
    assert {span.name for span in collector.spans} >= {
        *("initialize", "process/start", "process/read", "process/write", "process/terminate"),
        *("fs/writeFile", "fs/readFile", "fs/open", "http/request", "environment/status"),
        *("exec_server.process", "exec_server.filesystem", "exec_server.http_request"),
    }
    assert any(log.body == "process closed" for log in collector.logs)
    _assert_clean(collector.raw, session_id, tmp_path.name)
    _assert_clean(log.encode(), session_id, tmp_path.name)


async def test_a_client_exports_none_either(
    collector: Collector, options: Callable[..., ClientOptions], tmp_path: Path
) -> None:
    with ServerProcess() as server:
        wanted = options(collector, client_name=MARK)
        async with connect(server.url, options=wanted) as client:
            done = await client.run(["sh", "-c", f"echo {MARK}"], env={MARK: MARK})
            assert done.stdout == f"{MARK}\n".encode()
            with pytest.raises(RpcError):
                await client.start([f"/no/{MARK}"])
            session_id = client.session_id
        await asyncio.to_thread(collector.span, "process/start")
    _assert_clean(collector.raw, session_id)


async def test_an_unknown_method_is_cut_to_64_characters(
    server: ServerProcess, collector: Collector
) -> None:
    client = await WireClient.ready(server.url)
    method = "no/such/" + "x" * 1000
    assert await client.refused(method) == -32601
    span = await asyncio.to_thread(collector.span, "unknown")
    assert span.attributes["rpc.method"] == "_OTHER"
    assert span.attributes["rpc.method_original"] == method[:64]
    await client.close()


async def test_no_credential_is_exported_or_logged(
    collector: Collector, options: Callable[..., ClientOptions], tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text(MARK * 4, encoding="utf-8")
    token.chmod(0o600)
    environ = {**collector.environ, "OTEL_EXPORTER_OTLP_HEADERS": f"authorization={MARK}"}
    arguments = ("--ws-auth", "capability-token", "--ws-token-file", str(token))
    with ServerProcess(*arguments, "--log-level", "debug", env=environ) as server:
        for shown, accepted in ((MARK * 4, True), (MARK, False)):
            wanted = options(collector, token=shown, recovery_deadline=0)
            if accepted:
                async with connect(server.url, options=wanted) as client:
                    done = await client.run(["env"], inherit_env="all")
                    assert MARK.encode() not in done.stdout
            else:
                with pytest.raises(ClientError):
                    await connect(server.url, options=wanted)
        await asyncio.to_thread(collector.span, "exec_server.process")
        failed = await asyncio.to_thread(collector.span, "exec_client.connect", result="error")
        assert failed.attributes["error.type"] == "AccessDeniedError"
        _assert_clean(server.log().encode())
    _assert_clean(collector.raw)
