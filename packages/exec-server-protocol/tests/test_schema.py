"""Schema fixtures that can fail."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from exec_server_protocol.schema import differences, export, main
from exec_server_protocol.version import WIRE_REVISION


def test_writing_and_checking_agree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(tmp_path)
    assert main(["write", folder]) == 0
    assert main(["check", folder]) == 0
    assert "up to date" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["methods", "types", "envelopes", "constants"])
def test_a_missing_fixture_is_noticed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    main(["write", str(tmp_path)])
    (tmp_path / f"{name}.json").unlink()
    assert main(["check", str(tmp_path)]) == 1
    assert f"{name}.json: added" in capsys.readouterr().out


def test_a_stale_fixture_is_noticed_and_removed_by_writing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["write", str(tmp_path)])
    (tmp_path / "old.json").write_text("{}")
    assert main(["check", str(tmp_path)]) == 1
    assert "old.json: stale" in capsys.readouterr().out
    assert main(["write", str(tmp_path)]) == 0
    assert main(["check", str(tmp_path)]) == 0


def test_a_moved_member_is_a_difference_of_the_method(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["write", str(tmp_path)])
    file = tmp_path / "methods.json"
    content = json.loads(file.read_text())
    content["methods"]["process/start"]["positions"].reverse()
    file.write_text(json.dumps(content))
    assert main(["check", str(tmp_path)]) == 1
    assert "changed  methods.process/start.positions: [" in capsys.readouterr().out


def test_planted_damage_is_named_with_its_place_and_the_mending_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["write", str(tmp_path)])
    file = tmp_path / "types.json"
    content = json.loads(file.read_text())
    del content["ProcessStartParams"]["properties"]["argv"]
    content["ProcessReadParams"]["properties"]["afterSeq"]["extra"] = 1
    content["ProcessWriteParams"]["required"] = ["processId"]
    content["NoSuchType"] = {}
    file.write_text(json.dumps(content))
    assert main(["check", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    for line in (
        "types.json: added    ProcessStartParams.properties.argv",
        "types.json: removed  ProcessReadParams.properties.afterSeq.extra",
        "types.json: changed  ProcessWriteParams.required",
        "types.json: removed  NoSuchType",
        "python -m exec_server_protocol.schema write",
    ):
        assert line in out


_OTHER_VERSION = """\
#!{python}
import json, sys
from exec_server_protocol.methods import REQUESTS

if sys.argv[1:] == ["--version"]:
    sys.exit(print("codex-cli 9.9.9"))
for line in sys.stdin:
    request = json.loads(line)
    name, params = request["method"], request["params"]
    method = REQUESTS.get(name)
    code, text = -32600, "client must call initialize"
    if method is None or name == "fs/walk" or (method.extension and name != "process/list"):
        code, text = -32601, "no such method"
    elif not method.takes_no_params:
        fields = method.params.model_fields.items()
        names = [f.alias for k, f in fields if f.is_required()]
        names += ["newer"] if name == "process/read" else []
        size = sum(f.exclude_if is None for k, f in fields) + (name == "fs/copy")
        missing = [n for n in names if n not in params]
        code = -32602 if missing else code
        text = f"missing field `{{missing[0]}}`" if missing else text
        if isinstance(params, list):
            text = f"invalid length 0, expected struct X with {{size}} elements"
    print(json.dumps({{"error": {{"code": code, "message": text}}, "id": name}}), flush=True)
"""


@pytest.mark.process
@pytest.mark.slow
def test_another_binary_is_compared_method_by_method(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "codex"
    program.write_text(_OTHER_VERSION.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    assert main(["compare", "./codex"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"changed  version: {WIRE_REVISION} -> 9.9.9",
        "added    process/list: it was ours alone, as processList",
        "removed  fs/walk",
        "changed  FsCopyParams members: 4 -> 5",
        "changed  ProcessReadParams required: ['processId'] -> ['processId', 'newer']",
        f"5 differences between {WIRE_REVISION} here and the binary",
    ]


@pytest.mark.process
def test_a_comparison_that_cannot_be_made_is_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CODEX_BIN", raising=False)
    assert main(["compare"]) == 2
    assert "set CODEX_BIN" in capsys.readouterr().err
    program = tmp_path / "codex"
    for script, complaint in {
        "echo nothing": "does not tell a version",
        "exit 3": "did not run",
        "echo codex-cli 1.2.3": "answered something else",
    }.items():
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        assert main(["compare", str(program)]) == 2
        assert complaint in capsys.readouterr().err


def test_every_method_s_types_are_exported_without_prose() -> None:
    fixtures = export()
    for entry in fixtures["methods"]["methods"].values():
        for role in ("params", "result"):
            if role in entry:
                assert entry[role] in fixtures["types"]
    assert '"description"' not in json.dumps(fixtures["types"])


def test_no_difference_between_equal_fixtures() -> None:
    fixture = json.loads(json.dumps(export()))
    assert list(differences(fixture, fixture)) == []


def test_bad_usage_is_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["frobnicate"]) == 2
    assert "usage" in capsys.readouterr().err
