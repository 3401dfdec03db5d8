"""Options and fixtures of this package's tests.

``--samples FILE`` reads captured messages from a file instead of the copy beside the tests.
``--codex-bin PATH``, or ``$CODEX_BIN``, names the real binary; without it the tests that
compare with it are skipped.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from app_server_protocol._structure import definitions
from app_server_protocol.schema import export

HERE = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("app-server-protocol")
    group.addoption("--samples", metavar="FILE", help="captured messages, one record a line")
    group.addoption("--codex-bin", metavar="PATH", help="the real binary, to compare with")


@dataclass(frozen=True)
class Sample:
    """A captured message: who sent it, and what it is meant to be."""

    server: str
    run: str
    seq: int
    dir: str
    kind: str
    method: str | None
    payload_type: str | None
    raw: str

    @property
    def from_server(self) -> bool:
        return self.dir == "s2c"


@pytest.fixture(scope="session")
def samples(pytestconfig: pytest.Config) -> Sequence[Sample]:
    name = pytestconfig.getoption("--samples", default=None)
    text = Path(name or HERE / "samples.jsonl").read_text(encoding="utf-8")
    records = [json.loads(line) for line in text.splitlines()]
    dropped = ("version", "transport")
    return [Sample(**{k: v for k, v in r.items() if k not in dropped}) for r in records]


@pytest.fixture(scope="session")
def ours(samples: Sequence[Sample]) -> Sequence[Sample]:
    """The samples of this API; the others are of a different server."""
    return [sample for sample in samples if sample.server == "app-server"]


@pytest.fixture(scope="session")
def pinned() -> Mapping[str, Any]:
    """What is counted of the version that this package follows. Read a change of it in a diff."""
    found: Mapping[str, Any] = json.loads((HERE / "pinned.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="session")
def codex_bin(pytestconfig: pytest.Config) -> Path:
    name = pytestconfig.getoption("--codex-bin", default=None) or os.environ.get("CODEX_BIN", "")
    found = shutil.which(name) if name else None
    if found is None:
        pytest.skip("no binary to compare with: give --codex-bin PATH or set CODEX_BIN")
    return Path(found).resolve()


@pytest.fixture(scope="session")
def package() -> Path:
    """The folder of the package's sources, for tests that need the tools beside them."""
    folder = HERE.parent
    if not (folder / "tools").is_dir():
        pytest.skip("the tools are not installed")
    return folder


_OTHER_VERSION = """\
#!/bin/sh
if [ "$1" = --version ]; then echo codex-cli 9.9.9; exit; fi
surface=stable
if [ "$5" = --experimental ]; then surface=experimental; fi
mkdir -p "$4" && cp -r "{folder}/$2-$surface/." "$4"
"""


@pytest.fixture
def other_version(tmp_path: Path) -> Callable[[str, str], Path]:
    """Return what makes a program that exports our schema with one text replaced."""

    def make(old: str, new: str) -> Path:
        for surface in ("stable", "experimental"):
            found = json.loads(json.dumps(export(surface)).replace(old, new))
            bundle = json.dumps({"definitions": found, "type": "object"})
            folder = tmp_path / f"generate-json-schema-{surface}"
            folder.mkdir()
            for name in ("schemas.json", "v2.schemas.json"):
                (folder / f"codex_app_server_protocol.{name}").write_text(bundle)
            folder = tmp_path / f"generate-ts-{surface}"
            folder.mkdir()
            for name, schema in found.items():
                keys = schema.get("properties", ()) if isinstance(schema, dict) else ()
                fields = "".join(f"{key}?: unknown, " for key in keys)
                (folder / f"{name}.ts").write_text(f"export type {name} = {{ {fields}}};")
        program = tmp_path / "codex"
        program.write_text(_OTHER_VERSION.format(folder=tmp_path))
        program.chmod(0o755)
        return program

    return make


def _smallest(schema: Any) -> Any:
    while isinstance(schema, Mapping) and ("$ref" in schema or "allOf" in schema):
        if "allOf" in schema:
            schema = schema["allOf"][0]
        elif schema["$ref"].endswith("/AbsolutePathBuf"):
            return "/nonexistent/app-server-protocol"
        else:
            schema = definitions()[schema["$ref"].rpartition("/")[2]]
    if schema is True:
        return {}
    if "anyOf" in schema:
        return _smallest(next(arm for arm in schema["anyOf"] if arm != {"type": "null"}))
    if "enum" in schema:
        return schema["enum"][0]
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    kind = next((kind for kind in kinds if kind != "null"), "null")
    if kind == "object":
        properties = schema.get("properties", {})
        return {key: _smallest(properties[key]) for key in schema.get("required", ())}
    plain = {"string": "x", "integer": 1, "number": 1.5, "boolean": True, "array": []}
    return plain.get(kind)


@pytest.fixture(scope="session")
def smallest() -> Callable[[Any], Any]:
    """Return a function that makes the smallest value that a schema accepts."""
    return _smallest
