"""What an import loads, and how long it takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process


def _loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    return set(done.stdout.split())


def test_the_root_alone_loads_nothing() -> None:
    loaded = _loaded_by("import app_server_protocol")
    assert {name for name in loaded if name.startswith("app_server_protocol")} == {
        "app_server_protocol"
    }


def test_the_envelope_loads_the_standard_library_only() -> None:
    loaded = _loaded_by("from app_server_protocol import decode, ClientInfo")
    assert "app_server_protocol.rpc" in loaded
    unwanted = (
        "pydantic",
        "jsonschema",
        "typing_extensions",
        "asyncio",
        "app_server_protocol.types",
    )
    assert loaded.isdisjoint(unwanted)


@pytest.mark.parametrize("module", ["registry", "inbound", "outbound", "experimental"])
def test_working_with_messages_loads_no_types_and_no_pydantic(module: str) -> None:
    loaded = _loaded_by(f"import app_server_protocol.{module}")
    assert loaded.isdisjoint(("pydantic", "app_server_protocol.types", "typing_extensions"))


@pytest.mark.parametrize("module", ["types", "legacy_v1", "schema"])
def test_the_types_and_the_schema_tools_load_no_pydantic(module: str) -> None:
    loaded = _loaded_by(f"import app_server_protocol.{module}")
    assert "pydantic" not in loaded
    assert "pydantic_core" not in loaded


@pytest.mark.slow
def test_importing_is_as_quick_as_promised(package: Path) -> None:
    """20 ms for the envelope, 15 more for the registry, 250 for the types: of processor time."""
    done = subprocess.run(
        [sys.executable, package / "tools" / "import_time.py"],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(" ok ") == 3
