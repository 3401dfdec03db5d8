"""HTTP requests that the executor makes: ``client.http``.

::

    async with connect("ws://build:8765") as client:
        response = await client.http.request("GET", "http://internal/health")
        print(response.status, response.body)

        async with client.http.stream("GET", "http://internal/archive") as body:
            async for piece in body:
                file.write(piece)

With the extra ``exec-client[httpx]``, everything that uses httpx can use an executor::

    async with httpx.AsyncClient(transport=client.http.transport()) as web:
        print((await web.get("http://internal/health")).json())
"""

from __future__ import annotations

from .client import Http, HttpResponse, HttpStream

__all__ = ["Http", "HttpResponse", "HttpStream"]
