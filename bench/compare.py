"""Ours and the reference server, in turn, in one run, with one client: a table of ratios.

The reference is the program named by ``CODEX_BIN``; without it only ours is measured. Figures
are medians over the rounds. What counts is the ratio: both see the same machine at the same
time. Nothing here fails; the table and a JSON file go to ``bench/results/``.

    python bench/compare.py [--rounds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from exec_client import Client, ClientState, connect
from exec_server.wildcards import Matcher, fold, stars_and_marks
from exec_testkit.fault_proxy import FaultProxy
from exec_testkit.liveness import descendants, resident_bytes
from exec_testkit.server import ServerProcess
from exec_testkit.server import program as ours
from file_rows import measure_files
from start_rows import measure_starts
from websockets.asyncio.client import connect as dial
from websockets.exceptions import ConnectionClosed

RESULTS = Path(__file__).parent / "results"
QUICKACK = 12
"""TCP_QUICKACK: a client that sets it hides the delays of a server without TCP_NODELAY."""

STARS = "*A" * 63 + "*B"
"""What a regular expression takes for ever to compare with a name made of ``A``."""

Figures = dict[str, float]


class RawClient:
    """Counts what arrives and answers to nothing: as little client as possible."""

    def __init__(self, connection: Any, quick: bool) -> None:
        self._connection = connection
        self._quick = quick
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._next_id = 1
        self._closed: dict[str, asyncio.Event] = {}
        self.received = 0
        self._changed = asyncio.Event()
        self._reader = asyncio.ensure_future(self._read())

    @classmethod
    async def open(cls, url: str, *, quick: bool) -> RawClient:
        client = cls(await dial(url, max_size=None, max_queue=None, compression=None), quick)
        await client.call("initialize", {"clientName": "bench"})
        await client._connection.send('{"method":"initialized","params":{}}')
        return client

    async def _read(self) -> None:
        sock = self._connection.transport.get_extra_info("socket")
        async for text in self._connection:
            if self._quick:
                sock.setsockopt(6, QUICKACK, 1)
            message = json.loads(text)
            if "id" in message:
                self._answers.pop(message["id"]).set_result(message)
            elif message["method"] == "process/output":
                self.received += len(message["params"]["chunk"]) * 3 // 4
                self._changed.set()
            elif message["method"] == "process/closed":
                self._closed[message["params"]["processId"]].set()

    async def call(self, method: str, params: dict[str, Any]) -> Any:
        request_id = self._next_id
        self._next_id += 1
        answer = self._answers[request_id] = asyncio.get_running_loop().create_future()
        await self._connection.send(
            json.dumps({"id": request_id, "method": method, "params": params})
        )
        message = await answer
        if "result" not in message:
            raise RuntimeError(str(message))
        return message["result"]

    async def start(
        self, process_id: str, argv: list[str], *, stdin: bool = False, **options: Any
    ) -> None:
        self._closed[process_id] = asyncio.Event()
        await self.call(
            "process/start",
            {
                "processId": process_id,
                "argv": argv,
                "cwd": "file:///",
                "env": {"PATH": "/usr/bin:/bin"},
                "tty": False,
                "pipeStdin": stdin,
                "arg0": None,
                **options,
            },
        )

    async def run(self, process_id: str, argv: list[str], **options: Any) -> None:
        await self.start(process_id, argv, **options)
        await self._closed[process_id].wait()

    async def run_true(self, number: int) -> None:
        await self.run(f"true{number}", ["/bin/true"])

    async def run_matching(self, number: int) -> None:
        policy = {
            "inherit": "none",
            "ignoreDefaultExcludes": True,
            "exclude": [],
            "set": {"A" * 250: "1"},
            "includeOnly": [STARS],
        }
        await self.run(f"match{number}", ["/bin/true"], envPolicy=policy)

    async def echo(self, number: int) -> None:
        self._changed.clear()
        params = {"processId": "cat", "chunk": "aGVsbG8K", "writeId": f"w{number}"}
        await self.call("process/write", params)
        await self._changed.wait()

    async def close(self) -> None:
        await self._connection.close()
        with contextlib.suppress(ConnectionClosed):  # the reference sends no close frame
            await self._reader


async def _median(count: int, action: Callable[[int], Awaitable[None]]) -> float:
    times = []
    for number in range(count):
        started = time.perf_counter()
        await action(number)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


async def measure(server: ServerProcess) -> Figures:
    """Return the figures of one server."""
    figures: Figures = {"rss_idle_bytes": resident_bytes(descendants(server.pid))}
    for quick in (False, True):
        suffix = "_quickack_s" if quick else "_s"
        client = await RawClient.open(server.url, quick=quick)
        figures["true" + suffix] = await _median(40, client.run_true)
        figures["true_64_stars" + suffix] = await _median(40, client.run_matching)
        await client.start("cat", ["cat"], stdin=True)
        figures["echo" + suffix] = await _median(40, client.echo)
        await client.call("process/terminate", {"processId": "cat"})
        await client.close()
    client = await RawClient.open(server.url, quick=True)
    figures["rss_first_client_bytes"] = resident_bytes(descendants(server.pid))
    started, before = time.perf_counter(), client.received
    await client.run("big", ["head", "-c", str(256 << 20), "/dev/zero"])
    figures["stream_bytes_per_s"] = (client.received - before) / (time.perf_counter() - started)
    script = "for i in $(seq 1000); do echo line $i; done"
    started = time.perf_counter()
    await asyncio.gather(*(client.run(f"b{i}", ["bash", "-c", script]) for i in range(100)))
    figures["burst_100x1000_lines_s"] = time.perf_counter() - started
    figures |= await measure_files(server.port, client)
    await client.close()
    figures |= await _recovery(server)
    return figures


async def _recovery(server: ServerProcess) -> Figures:
    """Times until clients are usable again, with the settings that they have by default."""
    figures: Figures = {}
    async with FaultProxy(server.port) as proxy:
        async with connect(proxy.url) as client:

            async def cut(_number: int) -> None:
                await _connected_again([client], proxy.cut_all)

            figures["recover_idle_s"] = await _median(10, cut)
            # From the moment at which somebody listens again; attempts are 100 ms apart.
            figures["recover_idle_after_1_s_refused_s"] = await _after_outage([client], proxy, 1.0)
        clients = [await connect(proxy.url) for _ in range(200)]
        figures["recover_200_clients_s"] = await _after_outage(clients, proxy, 0.5)
        await asyncio.gather(*(client.aclose() for client in clients))
    return figures


async def _connected_again(clients: list[Client], cut: Callable[[], None]) -> None:
    watched = [client.state_changes() for client in clients]
    cut()
    for changes in watched:
        async for change in changes:
            if change.new is ClientState.CONNECTED:
                break


async def _after_outage(clients: list[Client], proxy: FaultProxy, seconds: float) -> float:
    """Cut the listener and all links for a while; returns how long it takes from its end on."""
    proxy.stop_listening()
    back = asyncio.ensure_future(_connected_again(clients, proxy.cut_all))
    await asyncio.sleep(seconds)
    await proxy.listen()
    started = time.perf_counter()
    await back
    return time.perf_counter() - started


def _match(count: int = 100) -> float:
    """Time of one comparison of 250 characters with a pattern of 64 stars, taken apart anew."""
    started = time.process_time()
    for _ in range(count):
        if Matcher([stars_and_marks(fold(STARS))]).matches(fold("A" * 250)):
            raise RuntimeError("the name does not end in B")
    return (time.process_time() - started) / count


def _start(command: list[str]) -> tuple[ServerProcess, str]:
    home = tempfile.mkdtemp(prefix="bench-")
    return ServerProcess(command=command, env={**os.environ, "CODEX_HOME": home}), home


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    if name.endswith("_bytes_per_s"):
        return f"{value / 1e6:.0f} MB/s"
    if name.endswith("_bytes"):
        return f"{value / 2**20:.1f} MiB"
    return f"{value * 1e3:.2f} ms"


def _table(ours: Figures, reference: Figures) -> str:
    lines = ["| row | reference | ours | ours / reference |", "|---|---|---|---|"]
    for name, value in ours.items():
        other = reference.get(name)
        ratio = f"{value / other:.3f}" if other else "-"
        lines.append(f"| {name} | {_cell(name, other)} | {_cell(name, value)} | {ratio} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print the table, keep it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    program = shutil.which(os.environ.get("CODEX_BIN", "")) or ""
    commands = {"ours": [ours("exec-server"), "--listen", "ws://127.0.0.1:0"]}
    if program:
        commands["reference"] = [program, "exec-server", "--listen", "ws://127.0.0.1:0"]
    found: dict[str, list[Figures]] = {"ours": [], "reference": []}
    for number in range(rounds):
        for who in sorted(commands, reverse=bool(number % 2)):
            starts = measure_starts(commands[who])
            server, home = _start(commands[who])
            with server:
                figures = asyncio.run(asyncio.wait_for(measure(server), 180))
            found[who].append(starts | figures)
            shutil.rmtree(home, ignore_errors=True)
    medians = {
        who: {name: statistics.median(r[name] for r in runs) for name in (runs[0] if runs else {})}
        for who, runs in found.items()
    }
    medians["ours"]["wildcard_250_characters_64_stars_s"] = _match()
    table = _table(medians["ours"], medians["reference"])
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "compare.md").write_text(table, encoding="utf-8")
    (RESULTS / "compare.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    print(table)


if __name__ == "__main__":
    main()
