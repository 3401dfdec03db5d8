"""The programs that the READMEs show are files, and each runs to its end."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest
from exec_testkit.server import ServerProcess

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples/readme").glob("*.py"))
READMES = [ROOT / "README.md", *sorted(ROOT.glob("packages/*/README.md"))]

FRAGMENTS = {
    "exec-client/README.md: import OutputLostError": "output has to be lost first",
    "exec-client/README.md: lost_output=": "output has to be lost first",
    "exec-client/README.md: TlsFiles": "needs certificates",
    "exec-client/README.md: EnvironmentManager": "environments of another host",
    "exec-client/README.md: import fsspec": "files of another host",
    "exec-client/README.md: client.http.request": "a service of another host",
    "exec-client/README.md: import httpx": "a service of another host",
    "exec-client/README.md: StdioServerParameters": "an MCP server of another host",
}
"""What is no whole program, by a word of it, and why; their imports are tested elsewhere."""


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
        program = tmp_path / "program.py"
        program.write_text(text, encoding="utf-8")
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            program,
            cwd=tmp_path,
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
    assert out
