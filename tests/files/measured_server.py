"""A server that times every callback of its event loop. Prints its URL, then one report.

Processor time is what the loop was really held up for; the wall clock also has what other
programs on the machine took.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from asyncio import events
from typing import Any

from exec_server import ServerConfig, serve

worst = {"cpu_ms": 0.0, "wall_ms": 0.0}
run = getattr(events.Handle, "_run")  # noqa: B009 - private, so unknown to type checkers


def timed_run(handle: Any) -> None:
    wall, cpu = time.perf_counter(), time.thread_time()
    run(handle)
    worst["cpu_ms"] = max(worst["cpu_ms"], (time.thread_time() - cpu) * 1000)
    worst["wall_ms"] = max(worst["wall_ms"], (time.perf_counter() - wall) * 1000)


async def main() -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def line() -> None:
        text = sys.stdin.readline()
        if text == "start\n":
            worst.update(cpu_ms=0.0, wall_ms=0.0)
            print("started", flush=True)
        else:
            print(json.dumps(worst), flush=True)
            loop.remove_reader(0)
            stop.set()

    async with serve(ServerConfig()) as server:
        print(server.url, flush=True)
        loop.add_reader(0, line)
        await stop.wait()


setattr(events.Handle, "_run", timed_run)  # noqa: B010 - as above
asyncio.run(main())
