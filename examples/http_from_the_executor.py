"""Let the executor make HTTP requests: directly, streamed, and for everything that uses httpx.

The origin is a server that the executor itself starts: nobody else needs to reach it.
"""

from __future__ import annotations

import asyncio

import httpx
from exec_client import Environment

ORIGIN = """
import http.server

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'{"path": "%s"}' % self.path.encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass

server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


async def main() -> None:
    """Make three requests."""
    async with Environment.local() as here, await here.start(["python3", "-c", ORIGIN]) as origin:
        base = f"http://127.0.0.1:{(await origin.stdout.readline()).decode().strip()}"

        response = await here.http.request("GET", f"{base}/direct", timeout=10)
        print(response.status, response.header("content-type"), response.body.decode())

        async with here.http.stream("GET", f"{base}/streamed") as stream:
            print(stream.status, (await stream.read()).decode())

        async with httpx.AsyncClient(transport=here.http.transport(), base_url=base) as web:
            print((await web.get("/httpx", params={"a": 1})).json())


asyncio.run(main())

# Prints:
# 200 application/json {"path": "/direct"}
# 200 {"path": "/streamed"}
# {'path': '/httpx?a=1'}
