"""The schema check can fail: each planted damage is found, and named with file and place."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from app_server_protocol.schema import main
from app_server_protocol.schema.layout import FIXTURES, WRITE_COMMAND

Definitions = dict[str, Any]


def _drop_a_field(found: Definitions) -> None:
    del found["ThreadStartParams"]["properties"]["cwd"]


def _flip_required(found: Definitions) -> None:
    found["TurnStartParams"]["required"].remove("input")


def _add_a_value(found: Definitions) -> None:
    found["SandboxMode"]["enum"].append("everything")


def _rename_a_method(found: Definitions) -> None:
    for arm in found["ClientRequest"]["anyOf"]:
        if arm["properties"]["method"]["enum"] == ["thread/start"]:
            arm["properties"]["method"]["enum"] = ["thread/begin"]


_DAMAGE: list[tuple[Callable[[Definitions], None], list[str]]] = [
    (_drop_a_field, ["stable.json: fields: + ThreadStartParams.cwd"]),
    (_flip_required, ["stable.json: fields: + TurnStartParams required 'input'"]),
    (_add_a_value, ["stable.json: values: - SandboxMode value 'everything'"]),
    (
        _rename_a_method,
        [
            "stable.json: methods of the client: - thread/begin",
            "stable.json: methods of the client: + thread/start",
        ],
    ),
]


@pytest.fixture
def fixtures(tmp_path: Path) -> Path:
    for path in FIXTURES.glob("*.json"):
        shutil.copy(path, tmp_path)
    return tmp_path


def _edit(path: Path, change: Callable[[Any], None]) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize(("change", "lines"), _DAMAGE)
def test_damage_in_a_fixture_is_named(
    fixtures: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[Definitions], None],
    lines: list[str],
) -> None:
    _edit(fixtures / "stable.json", lambda content: change(content["definitions"]))
    assert main(["check", "--fixtures", str(fixtures)]) == 1
    out = capsys.readouterr().out
    for line in lines:
        assert line in out
    assert "--- stable.json\n+++ stable.json (from the types)\n@@" in out
    assert WRITE_COMMAND in out
    assert "experimental.json" not in out


def test_a_stale_file_is_named(fixtures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (fixtures / "v2").mkdir()
    (fixtures / "v2" / "Old.json").write_text("{}")
    assert main(["check", "--fixtures", str(fixtures)]) == 1
    assert "v2/Old.json: stale" in capsys.readouterr().out


def test_a_missing_file_is_named(fixtures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (fixtures / "manifest.json").unlink()
    assert main(["check", "--fixtures", str(fixtures)]) == 1
    assert "manifest.json: missing" in capsys.readouterr().out


def test_damage_in_the_manifest_is_named(
    fixtures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def damage(content: Any) -> None:
        files = content["surfaces"]["stable"]["files"]
        files["RequestId.json"] = "0" * 16
        del files["ClientRequest.json"]
        files["New.json"] = "0" * 16
        content["gates"]["thread/start"].reverse()

    _edit(fixtures / "manifest.json", damage)
    assert main(["check", "--fixtures", str(fixtures)]) == 1
    out = capsys.readouterr().out
    for line in (
        "~ surfaces.stable.files.RequestId.json",
        "+ surfaces.stable.files.ClientRequest.json",
        "- surfaces.stable.files.New.json",
        "~ gates.thread/start",
    ):
        assert f"manifest.json: manifest: {line}" in out


def _reversed(value: Any, *, order_means_nothing: bool = True) -> Any:
    """Reverse the members of every object, and every array but those that are default values."""
    if isinstance(value, dict):
        return {
            key: _reversed(value[key], order_means_nothing=key != "default")
            for key in reversed(value)
        }
    if not isinstance(value, list):
        return value
    items = [_reversed(item) for item in value]
    return items[::-1] if order_means_nothing else items


def test_a_different_order_is_no_difference(fixtures: Path) -> None:
    for name in ("stable.json", "experimental.json", "manifest.json"):
        content = json.loads((fixtures / name).read_text(encoding="utf-8"))
        if name == "manifest.json":  # its only arrays have an order that means something
            content = {key: content[key] for key in reversed(content)}
        else:
            content = _reversed(content)
        (fixtures / name).write_text(json.dumps(content), encoding="utf-8")
    assert main(["check", "--fixtures", str(fixtures)]) == 0


def test_the_order_of_a_default_value_is_a_difference(
    fixtures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def damage(content: Any) -> None:
        content["definitions"]["Model"]["properties"]["inputModalities"]["default"].reverse()

    _edit(fixtures / "stable.json", damage)
    assert main(["check", "--fixtures", str(fixtures)]) == 1
    assert "stable.json: types: ~ Model.inputModalities: default" in capsys.readouterr().out


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "old", "new", "line"),
    [
        (
            "types.py",
            "    cwd: NotRequired[str | None]\n    daybreakEnabled",
            "    daybreakEnabled",
            "fields: - ThreadStartParams.cwd",
        ),
        (
            "types.py",
            "    input: list[UserInput]\n    model",
            "    input: NotRequired[list[UserInput]]\n    model",
            "fields: - TurnStartParams required 'input'",
        ),
        (
            "types.py",
            'SandboxMode: TypeAlias = Literal["danger-full-access"',
            'SandboxMode: TypeAlias = Literal["everything", "danger-full-access"',
            "values: + SandboxMode value 'everything'",
        ),
        (
            "_registry_data.py",
            '("thread/start", "ThreadStartParams"',
            '("thread/begin", "ThreadStartParams"',
            "methods of the client: + thread/begin",
        ),
        (
            "rpc.py",
            "    method: str\n    params: Any = UNSET\n    trace:",
            "    method: str\n    params: Any\n    trace:",
            "fields: + JSONRPCRequest required 'params'",
        ),
    ],
)
def test_damage_in_the_sources_is_named(
    tmp_path: Path, file: str, old: str, new: str, line: str
) -> None:
    copy = tmp_path / "app_server_protocol"
    shutil.copytree(FIXTURES.parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    text = (copy / file).read_text(encoding="utf-8")
    assert text.count(old) == 1
    (copy / file).write_text(text.replace(old, new), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "app_server_protocol.schema", "check"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert f"experimental.json: {line}" in done.stdout
    assert f"stable.json: {line}" in done.stdout
