"""What a server says that it can do: its extensions, and what holds of the reference's flags."""

from __future__ import annotations

from exec_server import ServerConfig, serve
from exec_server_protocol.capabilities import (
    EXTENSIONS,
    REFERENCE,
    TREES_BY_GROUP,
    TREES_SUPERVISED,
)
from exec_testkit.wire import WireClient

_HOLD = {
    "fsWatchMissing",
    "httpHeaderEnvVars",
    "sandboxedFileStreaming",
    "fileWriteStreaming",
}


async def test_every_flag_is_announced_and_those_that_hold_are_true() -> None:
    async with serve(ServerConfig()) as server:
        client = await WireClient.ready(server.url)
        assert await client.call("environment/info") == client.info
        await client.close()
    announced = client.info["capabilities"]
    # Nobody watches over a server that is embedded.
    assert list(announced) == [*REFERENCE, *EXTENSIONS, TREES_BY_GROUP, TREES_SUPERVISED]
    assert {flag for flag, holds in announced.items() if holds} == _HOLD | {*EXTENSIONS}
