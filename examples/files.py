"""Work on files of an executor: write, find and read them, stream a large one, copy a tree.

``Environment.local`` starts an executor on this machine; ``connect("ws://…")`` has the same
files for one elsewhere. The policy lets only the workspace be written.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from exec_client import ClientOptions, Environment
from exec_server_protocol import SandboxContext


async def main(workspace: Path, here: Path) -> None:
    """Use the files, under a policy."""
    policy = SandboxContext.workspace_write([workspace])
    async with Environment.local(options=ClientOptions(sandbox=policy)) as there:
        fs = there.fs
        await fs.mkdir(workspace / "src/app", parents=True)
        await fs.write_text(workspace / "src/app/main.py", "print('hello')\n")
        async for path in fs.glob(f"{workspace}/**/*.py"):
            print("found", Path(path).name, (await fs.stat(path)).size, "bytes")

        async with fs.open(workspace / "big.log", "w") as log:
            for number in range(100_000):
                await log.write(f"line {number}\n")
        async with fs.open(workspace / "big.log") as log:
            print("lines:", sum([1 async for _ in log]))

        done = await fs.download(workspace / "src", here / "copy")
        print("copied", done.files, "file:", (here / "copy/app/main.py").read_text().strip())

        try:
            await fs.write_text("/usr/lib/outside", "x")
        except OSError as error:
            print("refused:", error.strerror)


with tempfile.TemporaryDirectory() as workspace, tempfile.TemporaryDirectory() as here:
    asyncio.run(main(Path(workspace), Path(here)))

# Prints:
# found main.py 15 bytes
# lines: 100000
# copied 1 file: print('hello')
# refused: Read-only file system
