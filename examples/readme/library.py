"""A command and a terminal, as the client's README shows them."""

import asyncio

from exec_client import connect


async def main() -> None:
    async with connect("ws://127.0.0.1:8765") as client:
        done = await client.run(["du", "-sh", "."], cwd="/srv/app", timeout=600, check=True)
        print(done.stdout.decode())

        async with await client.start(["python3", "-i"], tty=True) as process:
            await process.write("6 * 7\nexit()\n")
            async for text in process.stdout.text():
                print(text, end="")


asyncio.run(main())
