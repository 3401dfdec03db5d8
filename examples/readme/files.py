"""Files under a policy, as the client's README shows them."""

import asyncio

from exec_client import ClientOptions, connect
from exec_server_protocol import SandboxContext


async def main() -> None:
    policy = SandboxContext.workspace_write(["/srv/app"])
    async with connect("ws://127.0.0.1:8765", options=ClientOptions(sandbox=policy)) as client:
        fs = client.fs
        await fs.write_text("/srv/app/VERSION", "2.1\n", atomic=True)
        async for path in fs.glob("/srv/app/**/*.py"):
            print(path, (await fs.stat(path)).size)

        async with fs.open("/srv/app/big.log") as log:
            async for line in log:
                print(len(line))
        await fs.download("/srv/app/build", "build", progress=print, resume=True)


asyncio.run(main())
