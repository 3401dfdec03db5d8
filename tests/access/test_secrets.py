"""What a sandboxed command can learn about the server that started it: none of its secrets.

The files with them are denied in every sandbox, whatever its policy says, and those that decide
whom the server trusts cannot be changed there. The server's environment and command line are
those of a process that cannot be seen.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from exec_testkit.sandboxes import context, path, place, read_only, restricted_read, workspace_write
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireClient

from .conftest import Certificates

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="needs bubblewrap"),
    pytest.mark.process,
    pytest.mark.slow,
]

TOKEN: Final = "cap-5f0e7c1a9b3d4e62"
OF_THE_SERVER: Final = "env-of-the-server-0d9e8f"


class Place(NamedTuple):
    """A server whose secrets lie in a workspace, of all places.

    Attributes:
        server: With a token and TLS.
        root: The workspace: ``etc/token``, ``etc/server-key.pem``, ``etc/server-cert.pem``.
        tls: For its clients.
    """

    server: ServerProcess
    root: Path
    tls: Any

    async def client(self) -> WireClient:
        return await WireClient.ready(self.server.url, token=TOKEN, tls=self.tls)

    async def run(self, sandbox: dict[str, Any], script: str) -> str:
        client = await self.client()
        await client.start("p", ["sh", "-c", script], sandbox=sandbox)
        output, _, _ = await client.finish("p")
        await client.close()
        return (output["stdout"] + output["stderr"]).decode(errors="replace")


@pytest.fixture(scope="module")
def place_of_secrets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    root = tmp_path_factory.mktemp("workspace")
    folder = root / "etc"
    folder.mkdir()
    certificates = Certificates(folder)
    files = certificates.server()
    (folder / "token").touch(mode=0o600)
    (folder / "token").write_text(TOKEN)
    with ServerProcess(
        *("--ws-auth", "capability-token", "--ws-token-file", str(folder / "token"), *files),
        env={**os.environ, "EXEC_SERVER_TOKEN": OF_THE_SERVER, "MINE": OF_THE_SERVER},
    ) as server:
        yield Place(server, root, certificates.trusting())


def _network_only(root: Path) -> dict[str, Any]:
    return context([place("root", "write")], roots=[root])


def _asked_for(root: Path) -> dict[str, Any]:
    names = [root / "etc/token", root / "etc/server-key.pem"]
    return context([place("root"), *(path(name, "write") for name in names)], roots=[root])


def _all_but_one(root: Path) -> dict[str, Any]:
    return context([place("root", "write"), path(root / "etc/none", "deny")], roots=[root])


POLICIES: Final[dict[str, Callable[[Path], dict[str, Any]]]] = {
    "read-only": read_only,
    "workspace-write": workspace_write,
    "restricted-read": restricted_read,
    "asked-for": _asked_for,
    "root-writable": _all_but_one,
    "network-only": _network_only,
    "with-a-network": lambda root: workspace_write(root, network="enabled"),
}


@pytest.mark.parametrize("policy", POLICIES)
async def test_no_sandbox_shows_the_servers_secrets(place_of_secrets: Place, policy: str) -> None:
    sandbox = POLICIES[policy](place_of_secrets.root)
    folder = place_of_secrets.root / "etc"
    key = (folder / "server-key.pem").read_text()
    text = await place_of_secrets.run(
        sandbox,
        f"cd {folder}; cat token server-key.pem; mv token ../t; mv ../etc ../e; cat ../t;"
        "cat ../e/token; echo forged > token; cp /bin/true server-key.pem; rm -f token",
    )
    assert TOKEN not in text
    assert not any(line in text for line in key.splitlines()[1:-1]), text
    assert (folder / "token").read_text() == TOKEN
    assert (folder / "server-key.pem").read_text() == key


@pytest.mark.parametrize("policy", ["read-only", "workspace-write", "asked-for", "restricted-read"])
async def test_no_sandboxed_file_request_shows_them_either(
    place_of_secrets: Place, policy: str
) -> None:
    sandbox = POLICIES[policy](place_of_secrets.root)
    client = await place_of_secrets.client()
    for name in ("token", "server-key.pem"):
        uri = f"file://{place_of_secrets.root}/etc/{name}"
        await client.refused("fs/readFile", {"path": uri, "sandbox": sandbox})
        await client.refused("fs/open", {"handleId": "h", "path": uri, "sandbox": sandbox})
        written = {"path": uri, "dataBase64": "", "sandbox": sandbox}
        await client.refused("fs/writeFile", written)
    await client.close()
    assert (place_of_secrets.root / "etc/token").read_text() == TOKEN


async def test_whom_the_server_trusts_cannot_be_changed_from_inside(tmp_path: Path) -> None:
    import jwt

    key = ed25519.Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pem").write_bytes(public)
    (tmp_path / "key.pem").chmod(0o644)
    token = jwt.encode({"exp": 2**40}, key, "EdDSA")
    options = (
        "--ws-auth",
        "signed-bearer-token",
        "--ws-public-key-file",
        str(tmp_path / "key.pem"),
    )
    with ServerProcess(*options) as server:
        client = await WireClient.ready(server.url, token=token)
        script = "cat key.pem; echo forged > key.pem; mv key.pem k; rm -f key.pem; ls"
        await client.start(
            *("p", ["sh", "-c", script]),
            cwd=f"file://{tmp_path}",
            sandbox=workspace_write(tmp_path),
        )
        output, _, _ = await client.finish("p")
        await client.close()
    assert public in output["stdout"], "it is no secret"
    assert (tmp_path / "key.pem").read_bytes() == public


@pytest.mark.parametrize("policy", POLICIES)
async def test_nothing_of_the_servers_processes_is_seen_from_inside(
    place_of_secrets: Place, policy: str
) -> None:
    text = await place_of_secrets.run(
        POLICIES[policy](place_of_secrets.root),
        "env; cat /proc/*/environ /proc/*/cmdline /proc/*/task/*/environ; ls -l /proc/*/fd;"
        f"echo; ls /proc/{place_of_secrets.server.pid}; ps axeww",
    )
    assert OF_THE_SERVER not in text
    assert "ws-token-file" not in text
    assert TOKEN not in text


async def test_what_is_spooled_has_no_name(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir(mode=0o700)
    with ServerProcess("--spool-dir", str(spool)) as server:
        client = await WireClient.ready(server.url)
        await client.start("p", ["sh", "-c", "head -c 3000000 /dev/zero; echo; sleep 60"])
        await client.close()
        other = await WireClient.ready(server.url)
        await other.start(
            *("q", ["sh", "-c", f"ls -A {spool}; echo end"]), sandbox=read_only(tmp_path)
        )
        output, _, _ = await other.finish("q")
        await other.close()
    assert output["stdout"] == b"end\n"
