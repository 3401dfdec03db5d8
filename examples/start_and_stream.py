"""Start a process, write to it, and read its two streams apart and in order.

``Environment.local`` starts an executor on this machine; ``connect("ws://…")`` has the same
methods for one elsewhere.
"""

from __future__ import annotations

import asyncio

from exec_client import Environment, OutputEvent

SCRIPT = 'while read -r line; do echo "got $line"; echo "warned" >&2; done; exit 3'


async def main() -> None:
    """Talk to a shell script until it ends."""
    async with (
        Environment.local() as here,
        await here.start(["sh", "-c", SCRIPT], stdin=True) as process,
    ):
        await process.write("one\n")
        await process.write("two\n")
        await process.close_stdin()

        counts = {"stdout": 0, "stderr": 0}
        async for event in process.events():
            if isinstance(event, OutputEvent):
                counts[event.stream] += len(event.data)
        print(counts)
        print("exit code", await process.wait())


asyncio.run(main())

# Prints:
# {'stdout': 16, 'stderr': 14}
# exit code 3
