"""What a type checker says of calls: each mistake is found, and none is made up."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy", reason="the type checker is in the group types")

ROOT = Path(__file__).parents[2]

MISTAKEN = """
from exec_client import Client, Process
from exec_client import sync
from exec_client.environment import Environment
from exec_server_protocol import SandboxContext

async def main(client: Client, process: Process, environment: Environment) -> None:
    await client.run(["ls"], cdw="/x")  # wrong
    await client.run(["ls"], enviroment={})  # wrong
    await client.run(["ls"], timeuot=4)  # wrong
    await client.run(["ls"], timeout="4")  # wrong
    await client.run(["ls"], env={"A": None})  # wrong
    await client.run(["ls"], sandbox="read-only")  # wrong
    await client.run(["ls"], inherit_env="some")  # wrong
    await client.run("ls -l")  # wrong
    await client.run(b"ls")  # wrong
    await client.run(["ls", 3])  # wrong
    await client.start("ls -l")  # wrong
    await client.start(["ls"], timeout=3)  # wrong
    await process.send_signal("SIGTERM")  # wrong
    await process.write(3)  # wrong
    await environment.run(["ls"], cdw="/x")  # wrong
    await environment.run("ls -l")  # wrong
    await environment.start(["ls"], check=True)  # wrong

def ordinary(client: sync.Client, process: sync.Process, environment: sync.Environment) -> None:
    client.run(["ls"], cdw="/x")  # wrong
    client.run("ls -l")  # wrong
    client.start(["ls"], ttty=True)  # wrong
    environment.run(["ls"], timeuot=4)  # wrong
    environment.start("ls -l")  # wrong
    process.send_signal("SIGTERM")  # wrong
"""

RIGHT = """
import asyncio
import signal
from collections.abc import Sequence
from pathlib import Path

from exec_client import Client, ClientOptions, ProcessFailedError, TimeoutExpired, connect
from exec_client import sync
from exec_client.environment import Environment
from exec_server_protocol import SandboxContext

async def one(client: Client, number: int, workspace: str) -> str:
    try:
        await client.run(["sleep", "60"], timeout=1, cwd=workspace)
    except TimeoutExpired as error:
        return f"{error} {error.stdout!r}"
    try:
        await client.run(["sh", "-c", "exit 7"], cwd=Path(workspace), check=True, input="x")
    except ProcessFailedError as error:
        return f"{error.returncode} {error.stderr!r}"
    async with await client.start(["cat"], cwd=workspace, env={"A": "b"}, stdin=True) as process:
        await process.write(b"x")
        out = ""
        async for text in process.stdout.text():
            out += text
        await process.send_signal("kill")
        await process.send_signal(signal.SIGTERM)
        await process.send_signal(15)
        return f"{await process.wait()} {out}"

async def words(
    client: Client, argv: Sequence[str], paths: list[Path], pair: tuple[str, Path]
) -> None:
    await client.run(argv)
    await client.run(paths)
    await client.run(pair)
    await client.run(["ls", Path("/tmp"), b"x"], inherit_env="none", tty=True, rows=24, cols=80)

async def main(url: str, environment: Environment) -> None:
    policy = SandboxContext.workspace_write(["/srv"])
    async with connect(url, options=ClientOptions(sandbox=policy)) as client:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(client, number, "/srv")) for number in range(20)]
        print([task.result() for task in tasks])
        await client.fs.write_text("/srv/notes", "text")
        done = await environment.run(["ls"], sandbox=policy, lost_output="gap", gap_marker="~")
        text: bytes = done.stdout
        async for path in client.fs.glob("/srv/r*"):
            print(path, text)

def ordinary(url: str) -> None:
    with sync.connect(url) as client, client.start(["python3", "-i"], tty=True) as repl:
        repl.write("6 * 7")
        for text in repl.stdout.text():
            print(text, end="", flush=True)
        repl.resize(40, 120)
        code: int = repl.wait()
        print(code, client.run(["ls"], check=True, timeout=2.5).stdout)
"""


def _lines_with_errors(program: str, folder: Path) -> dict[int, str]:
    file = folder / "program.py"
    file.write_text(program, encoding="utf-8")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--no-error-summary"),
            *("--hide-error-context", "--config-file", str(ROOT / "pyproject.toml"), str(file)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stderr == ""
    found = re.findall(r"^[^\n:]*program\.py:(\d+): error: (.*)$", done.stdout, re.MULTILINE)
    return {int(line): text for line, text in found}


def test_each_mistake_in_a_call_is_found(tmp_path: Path) -> None:
    marked = {
        number for number, line in enumerate(MISTAKEN.split("\n"), 1) if line.endswith("# wrong")
    }
    assert _lines_with_errors(MISTAKEN, tmp_path).keys() == marked


def test_programs_that_are_right_are_left_alone(tmp_path: Path) -> None:
    assert _lines_with_errors(RIGHT, tmp_path) == {}
