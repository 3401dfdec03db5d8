"""A server in a program of one's own, as its README shows it."""

import asyncio

from exec_server import ServerConfig, serve


async def main() -> None:
    async with serve(ServerConfig(session_ttl=60)) as server:
        print(server.url)


asyncio.run(main())
