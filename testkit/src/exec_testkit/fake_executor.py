"""An executor in memory: sessions and processes that only say what real ones would say.

Everything random comes from one seeded generator, so a run can be repeated exactly. Links
break after a random number of messages, in the middle of whatever is going on. Everything
that crosses a connection is kept, so that a test can check what was said when.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from .memory_socket import MemorySocket

__all__ = ["FakeConnection", "FakeExecutor", "FakeProcess", "Faults"]

_BUSY: Final = -32010
_INVALID: Final = -32600


@dataclass(slots=True)
class Faults:
    """What goes wrong.

    Attributes:
        cuts: How many connections break; later ones live.
        frames: Most messages that a breaking connection carries.
        refuse: Share of dials that find nobody, while connections break.
        hang: Share of dials that never come to an end, while connections break.
        half_open_seconds: For how long a broken connection stays attached, at most.
        misorder: Share of events that are sent after the next one.
        repeat: Share of events that are sent twice.
        retain: Events that a process's output is kept for; ``None`` for all.
        plan: From the number of a connection to the messages that it carries; ``None`` in
            place of a number for no end. Takes the place of ``cuts`` and ``frames``.
        lose: Messages on their way to the client that a break loses; ``None`` for a few.
        stall_seconds: For how long nothing passes before the connection breaks.
        outage: What happens to dials for a while after a break.
        outage_seconds: For how long.
        spoil: Whether the answer to a request, by its method and params, is no JSON.
    """

    cuts: int = 0
    frames: int = 30
    refuse: float = 0.0
    hang: float = 0.0
    half_open_seconds: float = 0.0
    misorder: float = 0.0
    repeat: float = 0.0
    retain: int | None = None
    plan: Callable[[int], int | None] | None = None
    lose: int | None = None
    stall_seconds: float = 0.0
    outage: Literal["refused", "dropped", "hanging"] = "refused"
    outage_seconds: float = 0.0
    spoil: Callable[[str, dict[str, Any]], bool] | None = None


class FakeProcess:
    """One process: it writes, exits and closes as its plan says.

    Attributes:
        plan: Its events, in order: (stream, bytes), an exit code, and ``None`` for the close.
        events: The params of those that have happened, with their numbers.
    """

    def __init__(self, executor: FakeExecutor, process_id: str, plan: list[Any]) -> None:
        self._executor = executor
        self.id = process_id
        self.plan = plan
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.exit_code: int | None = None
        self.closed = False
        self.write_ids: set[str] = set()
        self.received = b""

    def happen(self, item: Any) -> None:
        """Let the next event happen."""
        if self.closed:
            return
        params: dict[str, Any] = {"processId": self.id, "seq": len(self.events) + 1}
        if item is None:
            method, self.closed = "process/closed", True
        elif isinstance(item, int):
            method, self.exit_code = "process/exited", item
            params |= {"exitCode": item, "sandboxDenied": False}
        else:
            method, (stream, data) = "process/output", item
            params |= {"stream": stream, "chunk": base64.b64encode(data).decode()}
        self.events.append((method, params))
        self._executor.send_event(method, params)

    def terminate(self) -> bool:
        """Kill it; returns whether it ran."""
        running = self.exit_code is None
        if running:
            self.happen(137)
            self.happen(None)
        return running

    def read(self, after: int, max_bytes: int | None) -> dict[str, Any]:
        """Answer ``process/read``."""
        first = 0 if self._executor.faults.retain is None else self._first_kept()
        chunks: list[dict[str, Any]] = []
        size = 0
        for method, params in self.events[max(after, first) :]:
            if method != "process/output":
                continue
            data = len(base64.b64decode(params["chunk"]))
            if chunks and max_bytes is not None and size + data > max_bytes:
                break
            size += data
            chunks.append({key: params[key] for key in ("seq", "stream", "chunk")})
        bounded = max_bytes is not None and chunks
        return {
            "chunks": chunks,
            "nextSeq": chunks[-1]["seq"] + 1 if bounded else len(self.events) + 1,
            "exited": self.exit_code is not None,
            "exitCode": self.exit_code,
            "closed": self.closed,
            "failure": None,
            "sandboxDenied": False,
        }

    def catch_up(self, after: int, max_bytes: int) -> dict[str, Any]:
        """Answer ``process/catchUp``; what has no end here comes as events from now on."""
        first = 0 if self._executor.faults.retain is None else self._first_kept()
        through, size = after, 0
        chunks: list[dict[str, Any]] = []
        for method, params in self.events[max(after, first) :]:
            if method == "process/output":
                size += len(base64.b64decode(params["chunk"]))
                if not max_bytes or (chunks and size > max_bytes):
                    break
                chunks.append({key: params[key] for key in ("seq", "stream", "chunk")})
            through = params["seq"]
        live = through == len(self.events)
        if live:
            self._executor.behind.discard(self.id)
        written = [params["chunk"] for method, params in self.events if method == "process/output"]
        exits = [params["seq"] for method, params in self.events if method == "process/exited"]
        before = chunks[0]["seq"] - 1 if chunks else through
        offsets = {"stdout": 0, "stderr": 0}
        for method, params in self.events[:before]:
            if method == "process/output":
                offsets[params["stream"]] += len(base64.b64decode(params["chunk"]))
        return {
            "chunks": chunks,
            "nextSeq": through + 1,
            "outputBytes": sum(len(base64.b64decode(chunk)) for chunk in written),
            "streamOffsets": offsets if chunks or live else None,
            "exitSeq": exits[0] if exits else None,
            "exitCode": self.exit_code,
            "closed": self.closed,
            "sandboxDenied": False,
            "live": live,
        }

    def _first_kept(self) -> int:
        return max(0, len(self.events) - (self._executor.faults.retain or 0))


@dataclass(eq=False)
class FakeConnection:
    """One connection, from the executor's side.

    Attributes:
        number: Which connection it is, from 0.
        said: Every message that the client sent.
        order: For each of them, how many the executor had received before, on any connection.
        sent: Messages that it was sent.
        frames_left: Messages until it breaks; ``None`` for never.
    """

    executor: FakeExecutor
    number: int
    frames_left: int | None
    said: list[dict[str, Any]] = field(default_factory=list)
    order: list[int] = field(default_factory=list)
    sent: int = 0
    ready: bool = False
    socket: MemorySocket = field(init=False)
    _at: float = 0.0
    _held: bytes | None = None

    def received(self, message: bytes) -> None:
        """Take a message; it is handled a little later, in order."""
        parsed: dict[str, Any] = json.loads(message)
        self.said.append(parsed)
        self.order.append(self.executor.messages)
        self.executor.messages += 1
        if not self._frame():
            return
        loop = asyncio.get_running_loop()
        self._at = max(self._at, loop.time() + self.executor.rng.random() * 0.01) + 1e-6
        loop.call_at(self._at, self._handle, parsed)

    def _handle(self, message: dict[str, Any]) -> None:
        if not self.socket.over:
            self.executor.handle(self, message)

    def send(self, message: dict[str, Any]) -> None:
        """Send a message; one that breaks the connection may or may not get through."""
        data = json.dumps(message).encode()
        self.sent += 1
        if self._frame():
            self.socket.deliver(data)
            self._release()

    def send_event(self, message: dict[str, Any]) -> None:
        """Send an event, at times after the next message or twice."""
        rng, faults = self.executor.rng, self.executor.faults
        if self._held is None and rng.random() < faults.misorder:
            self._held = json.dumps(message).encode()
            asyncio.get_running_loop().call_later(0.002, self._release)
            return
        self.send(message)
        if rng.random() < faults.repeat:
            self.send(message)

    def _release(self) -> None:
        if self._held is not None:
            held, self._held = self._held, None
            self.socket.deliver(held)

    def _frame(self) -> bool:
        """Count a message. Returns whether the connection is still there."""
        if self.socket.over:
            return False
        if self.frames_left is not None:
            self.frames_left -= 1
            if self.frames_left < 0:
                seconds = self.executor.faults.stall_seconds
                if not seconds:
                    self.cut()
                elif self.frames_left == -1:
                    asyncio.get_running_loop().call_later(seconds, self.cut)
                return False
        return True

    def cut(self) -> None:
        """Break the connection; some of what was on its way is lost."""
        if not self.socket.over:
            lose = self.executor.faults.lose
            self.socket.cut(lose=self.executor.rng.randrange(4) if lose is None else lose)
            self.executor.connection_lost(self)
            self.executor.begin_outage()

    def dropped(self) -> None:
        """The client has gone."""
        self.executor.connection_lost(self)


class FakeExecutor:
    """One executor with one session.

    Args:
        seed: For everything random.
        faults: What goes wrong.
        nobody: Makes the error of a refused dial.
        not_sent: What the client's end raises after its end.
        capabilities: Announced ones.
    """

    def __init__(
        self,
        seed: int,
        faults: Faults,
        *,
        nobody: type[Exception],
        not_sent: type[ConnectionError],
        capabilities: dict[str, bool] | None = None,
    ) -> None:
        self.rng = random.Random(seed)  # noqa: S311 - repeatable is what matters
        self.faults = faults
        self._nobody = nobody
        self._not_sent = not_sent
        self._info = {
            "shell": {"name": "sh", "path": "/bin/sh"},
            "cwd": "file:///",
            "capabilities": capabilities or {},
        }
        self.session_id = "session-1"
        self.connections: list[FakeConnection] = []
        self.dials: list[float] = []
        self.messages = 0
        self.latency = 0.0
        self.events_per_second = 50.0
        self._down_until = 0.0
        self.processes: dict[str, FakeProcess] = {}
        self.attached: FakeConnection | None = None
        self.behind: set[str] = set()
        self.forgotten = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def dial(self, url: str, options: object) -> MemorySocket:
        """Make a connection, or not."""
        self.dials.append(asyncio.get_running_loop().time())
        number = len(self.connections)
        faulty = number < self.faults.cuts
        await asyncio.sleep(self.rng.random() * 0.005)
        down = asyncio.get_running_loop().time() < self._down_until
        if down and self.faults.outage == "refused":
            raise self._nobody("nobody is there")
        if down and self.faults.outage == "hanging":
            await asyncio.Event().wait()
        if faulty and self.rng.random() < self.faults.refuse:
            raise self._nobody("nobody is there")
        if faulty and self.rng.random() < self.faults.hang:
            await asyncio.Event().wait()
        frames = self.rng.randrange(self.faults.frames) + 1 if faulty else None
        if self.faults.plan is not None:
            frames = self.faults.plan(number)
        connection = FakeConnection(self, number, frames)
        connection.socket = MemorySocket(connection.received, connection.dropped, self._not_sent)
        if down:  # accepted, and dropped
            connection.socket.cut()
        else:
            self.connections.append(connection)
        return connection.socket

    def begin_outage(self) -> None:
        """Let dials fail for a while."""
        self._down_until = asyncio.get_running_loop().time() + self.faults.outage_seconds

    def connection_lost(self, connection: FakeConnection) -> None:
        """Detach, at once or when the executor notices."""
        if self.attached is connection:
            delay = self.rng.random() * self.faults.half_open_seconds
            asyncio.get_running_loop().call_later(delay, self._detach, connection)

    def _detach(self, connection: FakeConnection) -> None:
        if self.attached is connection:
            self.attached = None

    def send_event(self, method: str, params: dict[str, Any]) -> None:
        """Send an event to whoever is attached."""
        if self.attached is not None and params["processId"] not in self.behind:
            self.attached.send_event({"method": method, "params": params})

    def handle(self, connection: FakeConnection, message: dict[str, Any]) -> None:
        """Answer a message."""
        method, params = message["method"], message.get("params") or {}
        if method == "initialized":
            connection.ready = True
            return
        if method == "initialize":
            answer = self._initialize(connection, params)
        elif not connection.ready:
            answer = {"error": {"code": _INVALID, "message": "not initialized"}}
        else:
            handler = getattr(self, "_" + method.replace("/", "_"), self._other)
            answer = handler(params)
        reply = {**answer, "id": message["id"]}
        delay = self.latency + self.rng.random() * 0.004  # events overtake it
        if self.faults.spoil is not None and self.faults.spoil(method, params):
            torn = b'{"id":%d,"result":{' % message["id"]
            asyncio.get_running_loop().call_later(delay, connection.socket.deliver, torn)
            return
        asyncio.get_running_loop().call_later(delay, connection.send, reply)

    def _initialize(self, connection: FakeConnection, params: dict[str, Any]) -> dict[str, Any]:
        wanted = params.get("resumeSessionId")
        if wanted is not None and (wanted != self.session_id or self.forgotten):
            return {"error": {"code": _INVALID, "message": f"unknown session id {wanted}"}}
        if self.attached is not None:
            return {"error": {"code": _BUSY, "message": "already attached"}}
        self.attached = connection
        ids = [name for name, process in self.processes.items() if process.events]
        self.behind = set(ids) if params.get("catchUp") else set()
        return {"result": {"sessionId": self.session_id, "environmentInfo": self._info}}

    def _process_start(self, params: dict[str, Any]) -> dict[str, Any]:
        process_id = params["processId"]
        if process_id in self.processes:
            return {"error": {"code": _INVALID, "message": f"process {process_id} already exists"}}
        process = FakeProcess(self, process_id, self._plan(int(params["argv"][1])))
        self.processes[process_id] = process
        task = asyncio.get_running_loop().create_task(self._live(process))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return {"result": {"processId": process_id, "sandboxType": "none"}}

    def _plan(self, outputs: int) -> list[Any]:
        plan: list[Any] = [
            (self.rng.choice(["stdout", "stderr"]), self.rng.randbytes(self.rng.randrange(9)))
            for _ in range(outputs)
        ]
        plan.insert(outputs - self.rng.randrange(min(outputs, 3) + 1), self.rng.randrange(200))
        return [*plan, None]

    async def _live(self, process: FakeProcess) -> None:
        for item in process.plan:
            await asyncio.sleep(self.rng.expovariate(self.events_per_second))
            process.happen(item)

    def _process_read(self, params: dict[str, Any]) -> dict[str, Any]:
        process = self.processes.get(params["processId"])
        if process is None:
            return {"error": {"code": _INVALID, "message": "unknown process id"}}
        return {"result": process.read(params["afterSeq"] or 0, params["maxBytes"])}

    def _process_catchUp(self, params: dict[str, Any]) -> dict[str, Any]:
        process = self.processes.get(params["processId"])
        if process is None:
            return {"error": {"code": _INVALID, "message": "unknown process id"}}
        return {"result": process.catch_up(params["afterSeq"], params["maxBytes"])}

    def _process_write(self, params: dict[str, Any]) -> dict[str, Any]:
        process = self.processes.get(params["processId"])
        if process is None:
            return {"result": {"status": "unknownProcess"}}
        if params["writeId"] not in process.write_ids:
            process.write_ids.add(params["writeId"])
            process.received += base64.b64decode(params["chunk"])
        return {"result": {"status": "accepted"}}

    def _process_terminate(self, params: dict[str, Any]) -> dict[str, Any]:
        process = self.processes.get(params["processId"])
        return {"result": {"running": process is not None and process.terminate()}}

    def _environment_status(self, params: dict[str, Any]) -> dict[str, Any]:
        return {"result": {"status": "ready"}}

    def _environment_info(self, params: dict[str, Any]) -> dict[str, Any]:
        return {"result": self._info}

    def _other(self, params: dict[str, Any]) -> dict[str, Any]:
        return {"result": {}}

    async def aclose(self) -> None:
        """End what still runs."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
