"""The programs that the READMEs show are files, and each runs to its end."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest
import trustme
from exec_testkit.origin import Origin, Reply, reply
from exec_testkit.server import ServerProcess

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples/readme").glob("*.py"))
READMES = [ROOT / "README.md", *sorted(ROOT.glob("packages/*/README.md"))]

FRAGMENTS = {
    "exec-client/README.md: import OutputLostError",
    "exec-client/README.md: lost_output=",
    "exec-client/README.md: TlsFiles",
    "exec-client/README.md: EnvironmentManager",
    "exec-client/README.md: import fsspec",
    "exec-client/README.md: client.http.request",
    "exec-client/README.md: import httpx",
    "exec-client/README.md: StdioServerParameters",
}
"""What is no whole program, by a word of it."""

ELSEWHERE = {"import httpx"}
"""The one that is run by ``tests/http/test_mcp.py``: it needs an MCP server over HTTP."""

MCP_SERVER = """
try:
    from mcp.server.mcpserver import MCPServer  # mcp 2
except ModuleNotFoundError:
    from mcp.server.fastmcp import FastMCP as MCPServer
MCPServer("empty").run()
"""


def _program(file: Path) -> str:
    """Return what a README shows of it: all but the docstring."""
    return re.sub(r'^""".*?"""\n\n', "", file.read_text(encoding="utf-8"), flags=re.DOTALL)


def _blocks(file: Path) -> list[str]:
    return re.findall(
        r"^```python\n(.*?)^```$", file.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )


def _is_fragment(file: Path, block: str) -> bool:
    words = [key.split(": ") for key in FRAGMENTS]
    return any(f"{file.parent.name}/{file.name}" == name and word in block for name, word in words)


@pytest.mark.parametrize("file", READMES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_python_example_is_a_file_word_for_word(file: Path) -> None:
    programs = [_program(example) for example in EXAMPLES]
    for block in _blocks(file):
        interactive = block.startswith(">>>")  # doctests, which another test runs
        assert interactive or block in programs or _is_fragment(file, block), block


def test_every_such_file_is_shown() -> None:
    shown = [block for file in READMES for block in _blocks(file)]
    assert [file.name for file in EXAMPLES if _program(file) not in shown] == []


@pytest.mark.process
@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
async def test_it_runs_to_its_end(file: Path, tmp_path: Path) -> None:
    """Only the address and the folder are others."""
    app = tmp_path / "app"
    (app / "build").mkdir(parents=True)
    (app / "build" / "one.txt").write_text("1")
    (app / "main.py").write_text("print(1)\n")
    (app / "big.log").write_text("a\nb\n")
    example = file.read_text(encoding="utf-8")  # noqa: ASYNC240 - nothing else runs yet
    with ServerProcess() as server:
        text = example.replace("ws://127.0.0.1:8765", server.url).replace("/srv/app", str(app))
        assert await _run(text, tmp_path)


async def _run(text: str, folder: Path) -> bytes:
    """Run a program to its end; returns what it prints."""
    program = folder / "program.py"
    program.write_text(text, encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        program,
        cwd=folder,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(40):
            out, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert (process.returncode, errors) == (0, b"")
    return out


def _fragment(word: str) -> str:
    blocks = [block for file in READMES for block in _blocks(file) if word in block]
    assert len(blocks) == 1
    return blocks[0]


def _as_program(fragment: str, url: str) -> str:
    """Return a fragment as a whole program, with a client where it does not make one."""
    lines = "".join(f"    {line}\n" for line in fragment.splitlines())
    if "client" in fragment and "as client" not in fragment:
        body = "".join(f"    {line}\n" for line in lines.splitlines())
        lines = "    from exec_client import connect\n"
        lines += f"    async with connect({url!r}) as client:\n{body}"
    return f"import asyncio\n\nasync def main():\n{lines}\nasyncio.run(main())\n"


def _prepare(folder: Path) -> None:
    """Put into a folder what the fragments name."""
    folder.chmod(0o700)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    for name, leaf in (
        ("server", authority.issue_cert("127.0.0.1")),
        ("me", authority.issue_cert("me")),
    ):
        (folder / f"{name}.pem").write_bytes(leaf.cert_chain_pems[0].bytes())
        leaf.private_key_pem.write_to_path(str(folder / f"{name}.key"))
        (folder / f"{name}.key").chmod(0o600)
    (folder / "token").write_text("cap-3f0d9c1be27a4c55")
    (folder / "token").chmod(0o600)
    (folder / "mcp_server.py").write_text(MCP_SERVER)
    (folder / "srv/results").mkdir(parents=True)
    (folder / "srv/results.csv").write_text("a,b\n")
    (folder / "srv/results/one").write_text("1")


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize("key", sorted(FRAGMENTS), ids=lambda key: key.split(": ")[1])
async def test_a_fragment_runs_to_its_end(key: str, tmp_path: Path) -> None:
    """Other are the addresses, the folders and the names of programs."""
    word = key.split(": ")[1]
    if word in ELSEWHERE:
        pytest.skip("run by tests/http/test_mcp.py")
    _prepare(tmp_path)
    files = {"--tls-cert": "server.pem", "--tls-key": "server.key", "--tls-client-ca": "ca.pem"}
    files["--ws-token-file"] = "token"
    access = ["--ws-auth", "capability-token"]
    for option, name in files.items():
        access += [option, str(tmp_path / name)]
    replies: dict[str, Reply] = {"/jobs": reply(b"[]"), "/artifact.tar": reply(b"x" * 100_000)}
    mcp = str(tmp_path / "mcp_server.py")
    env = {**os.environ, "CI_TOKEN": "of the executor"}
    with ServerProcess(env=env) as server, ServerProcess(*access) as secured:
        async with Origin(replies) as origin:
            text = _as_program(_fragment(word), server.url)
            changes = {
                "wss://build:8765": secured.url,
                "ws://build:8765": server.url,
                "exec://build:8765/srv": f"exec://127.0.0.1:{server.port}{tmp_path}/srv",
                '"/srv/results"': repr(f"{tmp_path}/srv/results"),
                "http://ci.internal": f"http://127.0.0.1:{origin.port}",
                "/run/secrets/build-token": str(tmp_path / "token"),
                '["make", "test"]': '["sh", "-c", "echo tested; echo more >&2"]',
                'command="my-mcp-server"': f"command={sys.executable!r}, args=[{mcp!r}]",
            }
            for old, new in changes.items():
                text = text.replace(old, new)
            await _run(text, tmp_path)
            if word == "client.http.request":
                assert origin.seen[0].header("authorization") == b"Bearer of the executor"
