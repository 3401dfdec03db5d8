"""Schema fixtures that can fail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from exec_server_protocol.schema import differences, export, main


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
