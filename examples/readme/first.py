"""The first example of the README; a server has to listen, and /srv/app/build to be there."""

import asyncio

from exec_client import connect


async def main() -> None:
    async with connect("ws://127.0.0.1:8765") as client:
        done = await client.run(["du", "-sh", "."], cwd="/srv/app", timeout=600)
        print(done.stdout.decode())

        async with await client.start(["python3", "-i"], tty=True) as process:
            await process.write("6 * 7\nexit()\n")
            async for text in process.stdout.text():
                print(text, end="")

        await client.fs.write_text("/srv/app/VERSION", "2.1\n")
        await client.fs.download("/srv/app/build", "build")


asyncio.run(main())
