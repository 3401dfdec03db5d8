"""This package owns its names, and nothing of the exec packages is in it or around it."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import subprocess
import sys

import app_server_protocol
import pytest
from app_server_protocol import handshake, rpc

_EXEC = ("exec_server_protocol", "exec_server", "exec_client", "fs_helper")
_DISTRIBUTIONS = ("exec-server-protocol", "exec-server", "exec-client", "exec-fs-helper")


def _loaded_by(module: str) -> set[str]:
    code = f"import sys, {module}; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("name", rpc.__all__)
def test_a_name_of_rpc_is_the_same_object_at_the_root(name: str) -> None:
    assert getattr(app_server_protocol, name) is getattr(rpc, name)


def test_the_root_has_the_names_of_rpc_and_handshake_and_no_others() -> None:
    assert set(app_server_protocol.__all__) == {*rpc.__all__, *handshake.__all__}
    assert set(app_server_protocol.__all__) <= set(dir(app_server_protocol))


def test_a_name_that_does_not_exist_is_reported_as_such() -> None:
    with pytest.raises(AttributeError, match="nope"):
        app_server_protocol.nope  # noqa: B018  # the access is the test


@pytest.mark.process
@pytest.mark.parametrize("module", _EXEC)
def test_an_exec_package_does_not_load_this_one(module: str) -> None:
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    assert "app_server_protocol" not in _loaded_by(module)


@pytest.mark.process
def test_no_module_of_this_package_loads_an_exec_package() -> None:
    modules = [
        "rpc",
        "handshake",
        "registry",
        "types",
        "legacy_v1",
        "inbound",
        "outbound",
        "experimental",
        "schema",
    ]
    names = ", ".join(f"app_server_protocol.{name}" for name in modules)
    assert _loaded_by(names).isdisjoint(_EXEC)


@pytest.mark.parametrize("distribution", _DISTRIBUTIONS)
def test_neither_side_depends_on_the_other(distribution: str) -> None:
    mine = importlib.metadata.requires("app-server-protocol") or []
    assert not any(line.startswith(distribution) for line in mine)
    try:
        theirs = importlib.metadata.requires(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{distribution} is not installed")
    assert not any(line.startswith("app-server-protocol") for line in theirs)


def test_there_is_no_runtime_dependency_on_a_current_python() -> None:
    lines = importlib.metadata.requires("app-server-protocol") or []
    always = [line for line in lines if "extra ==" not in line]
    assert [line.split(">")[0] for line in always] == ["typing-extensions"]
    assert "python_full_version < '3.12'" in always[0] or 'python_version < "3.12"' in always[0]
