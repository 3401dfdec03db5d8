"""Reducing, exporting and comparing schemas; the command line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from app_server_protocol.errors import ToolError
from app_server_protocol.schema import export, main
from app_server_protocol.schema._compare import changes, report
from app_server_protocol.schema._export import export_fixtures
from app_server_protocol.schema.layout import ENVELOPE_FILES, FIXTURES, SURFACES
from app_server_protocol.schema.reduce import reduce_bundle, reduce_schema

_TEXT = {"type": "string"}


@pytest.mark.parametrize(
    ("schema", "reduced"),
    [
        ({}, True),
        ({"title": "T", "description": "D", "$schema": "S", "type": "string"}, _TEXT),
        ({"allOf": [{"$ref": "#/definitions/v2/A"}]}, {"$ref": "#/definitions/A"}),
        (
            {"allOf": [{"$ref": "#/definitions/A"}], "default": 1},
            {"allOf": [{"$ref": "#/definitions/A"}], "default": 1},
        ),
        ({"allOf": [_TEXT], "default": "x"}, {"type": "string", "default": "x"}),
        (
            {"oneOf": [{"enum": ["b"], "type": "string"}, {"enum": ["a"], "type": "string"}]},
            {"enum": ["a", "b"], "type": "string"},
        ),
        (
            {"anyOf": [{"type": "null"}, {"oneOf": [{"$ref": "#/definitions/A"}, _TEXT]}]},
            {"anyOf": [{"$ref": "#/definitions/A"}, {"type": "null"}, _TEXT]},
        ),
        ({"type": ["string", "null"]}, {"type": ["null", "string"]}),
        ({"type": ["string", "object"]}, {"anyOf": [{"type": "object"}, _TEXT]}),
        ({"type": "object", "properties": {}, "required": []}, {"type": "object"}),
        ({"type": "object", "additionalProperties": True}, {"type": "object"}),
        (
            {"type": "object", "properties": {"a": {}}, "additionalProperties": True},
            {"type": "object", "properties": {"a": True}, "additionalProperties": True},
        ),
        ({"type": "integer", "minimum": 0.0}, {"type": "integer", "minimum": 0}),
        (
            {"type": "array", "items": [_TEXT, {"type": "null"}]},
            {"type": "array", "items": [_TEXT, {"type": "null"}]},
        ),
        (
            {
                "type": "object",
                "properties": {"a": _TEXT},
                "required": ["a"],
                "oneOf": [
                    {"type": "object", "properties": {"b": _TEXT}, "required": ["b"]},
                    {"type": "object"},
                ],
            },
            {
                "anyOf": [
                    {
                        "properties": {"a": _TEXT, "b": _TEXT},
                        "required": ["a", "b"],
                        "type": "object",
                    },
                    {"properties": {"a": _TEXT}, "required": ["a"], "type": "object"},
                ]
            },
        ),
    ],
)
def test_one_structure_has_one_form(schema: Any, reduced: Any) -> None:
    assert reduce_schema(schema) == reduced
    assert reduce_schema(reduced) == reduced


@pytest.mark.parametrize(
    "schema",
    [
        False,
        {"not": {}},
        {"allOf": [{}, {}]},
        {"properties": {"a": {}}, "anyOf": [{"$ref": "#/definitions/A"}]},
    ],
)
def test_what_the_types_could_not_express_is_refused(schema: Any) -> None:
    with pytest.raises(ToolError):
        reduce_schema(schema)


def test_a_name_that_is_defined_twice_differently_is_refused() -> None:
    with pytest.raises(ToolError, match="defined twice"):
        reduce_bundle({"definitions": {"A": _TEXT, "v2": {"A": {"type": "null"}}}})


@pytest.mark.parametrize("surface", SURFACES)
def test_the_fixtures_are_reduced_and_complete(surface: str, pinned: Mapping[str, Any]) -> None:
    content = json.loads((FIXTURES / f"{surface}.json").read_text(encoding="utf-8"))
    assert reduce_bundle(content) == content["definitions"] == export(surface)
    assert len(content["definitions"]) == pinned["definitions"][surface]


def test_the_fixtures_hold_no_prose() -> None:
    """A description would have spaces in it; nothing of the structure has."""
    for name in ("stable.json", "experimental.json"):
        text = (FIXTURES / name).read_text(encoding="utf-8")
        texts = re.findall(r'"((?:[^"\\]|\\.)*)"', text)
        assert not [item for item in texts if " " in item]


def test_the_notice_names_the_version_whose_structure_this_is(
    package: Path, pinned: Mapping[str, Any]
) -> None:
    notice = (package / "NOTICE").read_text(encoding="utf-8")
    assert f"version {pinned['version']})" in notice
    named = re.findall(r"(?:src|tests)/\S+?(?=[,\s])", notice)
    assert len(named) == 5
    assert all((package / name.rstrip("/")).exists() for name in named)
    for line in ("Apache License, Version 2.0", "Copyright OpenAI", "Changes: "):
        assert line in notice


def test_every_reference_leads_somewhere() -> None:
    for surface in SURFACES:
        found = export(surface)
        refs = set(re.findall(r'"#/definitions/(\w+)"', json.dumps(found)))
        assert refs <= found.keys()


def test_the_manifest_counts_the_files_of_both_surfaces(pinned: Mapping[str, Any]) -> None:
    surfaces = export_fixtures()["manifest.json"]["surfaces"]
    assert {name: len(surfaces[name]["files"]) for name in SURFACES} == pinned["files"]
    assert surfaces["stable"]["files"].keys() >= set(ENVELOPE_FILES)
    assert len(ENVELOPE_FILES) == 10


def test_writing_and_checking_agree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "old.json").write_text("{}")
    assert main(["write", "--fixtures", str(tmp_path)]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(export_fixtures())
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (FIXTURES / path.name).read_bytes()
    assert main(["check", "--fixtures", str(tmp_path)]) == 0
    assert "the schema fixtures are up to date: " in capsys.readouterr().out


def test_the_package_s_own_fixtures_are_up_to_date() -> None:
    assert main(["check"]) == 0


def test_what_cannot_run_is_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CODEX_BIN", raising=False)
    assert main(["compare"]) == 2
    assert "CODEX_BIN" in capsys.readouterr().err
    assert main(["compare", "--codex-bin", str(tmp_path / "none")]) == 2
    assert main(["check", "--fixtures", str(tmp_path / "none")]) == 2
    (tmp_path / "stable.json").write_text("{")
    assert main(["check", "--fixtures", str(tmp_path)]) == 2


def test_a_program_that_is_not_the_binary_is_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "codex"
    program.write_text("#!/bin/sh\necho nothing of the kind\n")
    program.chmod(0o755)
    assert main(["compare", "--codex-bin", str(program)]) == 2
    assert "does not tell a version" in capsys.readouterr().err
    program.write_text("#!/bin/sh\necho out of order >&2; exit 3\n")
    assert main(["compare", "--codex-bin", str(program)]) == 2
    assert "out of order" in capsys.readouterr().err


def test_another_version_is_status_1_with_a_summary(
    other_version: Callable[[str, str], Path],
    capsys: pytest.CaptureFixture[str],
    pinned: Mapping[str, Any],
) -> None:
    program = other_version('"thread/closed"', '"thread/shut"')
    assert main(["compare", "--codex-bin", str(program)]) == 1
    out = capsys.readouterr().out
    assert f"fixtures: {pinned['version']}; binary: 9.9.9" in out
    assert "notifications of the server\n    - thread/closed\n    + thread/shut\n" in out
    assert "    - v2/ThreadStartParams.json" in out


def test_a_summary_names_every_kind_of_change() -> None:
    old = {
        "ClientRequest": _union({"a/old": "P", "a/same": "P", "a/changed": "P"}),
        "P": {"type": "object", "properties": {"x": _TEXT, "y": _TEXT}, "required": ["x"]},
        "E": {"enum": ["one", "two"], "type": "string"},
        "U": {"anyOf": [_arm("p"), _arm("q"), {"$ref": "#/definitions/P"}]},
        "Twice": {"anyOf": [_arm("p", required=["x"])]},
        "Gone": _TEXT,
        "Flat": _TEXT,
        "List": {"type": "array", "items": {"enum": ["a"], "type": "string"}},
    }
    new = {
        "ClientRequest": _union({"a/new": "P", "a/same": "P", "a/changed": "E"}),
        "P": {
            "type": "object",
            "properties": {"x": {"type": "integer"}, "z": _TEXT, "w": _TEXT},
            "required": ["z"],
        },
        "E": {"enum": ["one", "three"], "type": "string"},
        "U": {"anyOf": [_arm("p", "more"), _arm("r"), {"$ref": "#/definitions/P"}]},
        "Twice": {"anyOf": [_arm("p", required=["y"]), _arm("p", "z", required=["x"])]},
        "New": _TEXT,
        "Flat": True,
        "List": {"type": "array", "items": {"enum": ["b"], "type": "string"}},
    }
    lines = [line.strip() for line in report(list(changes(old, new)))]
    assert lines == [
        "methods of the client",
        "~ a/changed: P or null -> E or null",
        "+ a/new",
        "- a/old",
        "values",
        "+ E value 'three'",
        "- E value 'two'",
        "- List[] value 'a'",
        "+ List[] value 'b'",
        "types",
        '~ Flat: {"type":"string"} -> true',
        "- Gone",
        "+ New",
        '~ P.x: type "string" -> "integer"',
        "fields",
        '+ P.w: optional, {"type":"string"}',
        "- P.y",
        '+ P.z: required, {"type":"string"}',
        "- P required 'x'",
        "+ P required 'z'",
        '+ Twice(type=p; x).z: optional, {"type":"string"}',
        '+ U(type=p).more: optional, {"type":"string"}',
        "arms",
        "+ Twice(type=p; y)",
        "- U(type=q)",
        "+ U(type=r)",
    ]


def _arm(tag: str, *more: str, required: Sequence[str] = ()) -> Any:
    fixed = {"type": {"enum": [tag], "type": "string"}}
    arm = {"type": "object", "properties": {**fixed, **dict.fromkeys(more, _TEXT)}}
    return {**arm, "required": [*required]} if required else arm


def _union(methods: dict[str, str]) -> Any:
    return {
        "anyOf": [
            {
                "type": "object",
                "properties": {
                    "method": {"enum": [method], "type": "string"},
                    "params": {"$ref": f"#/definitions/{params}"},
                },
            }
            for method, params in methods.items()
        ]
    }


@pytest.mark.process
@pytest.mark.slow
def test_the_binary_has_the_same_schema(
    codex_bin: Path, capsys: pytest.CaptureFixture[str], pinned: Mapping[str, Any]
) -> None:
    assert main(["compare", "--codex-bin", str(codex_bin)]) == 0
    out = capsys.readouterr().out
    for surface in SURFACES:
        definitions, files = pinned["definitions"][surface], pinned["files"][surface]
        line = f"{surface}: {definitions} definitions, {files} files ({files} equal), 0 differences"
        assert line in out


@pytest.mark.process
@pytest.mark.slow
def test_the_binary_has_the_same_envelope(
    codex_bin: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", "--codex-bin", str(codex_bin), "--only", "envelope"]) == 0
    out = capsys.readouterr().out
    assert "experimental: 10 definitions, 10 files (10 equal), 0 differences" in out
