"""The registry: counts, types that exist, rules that a binary agrees with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from app_server_protocol import _binary, legacy_v1, types
from app_server_protocol import _overrides as overrides
from app_server_protocol._census import main
from app_server_protocol.registry import (
    CLIENT_METHODS,
    CLIENT_NOTIFICATIONS,
    SERVER_NOTIFICATIONS,
    SERVER_REQUESTS,
    WIRE_REVISION,
    Method,
    type_named,
)

_TABLES: tuple[Mapping[str, Method], ...] = (
    CLIENT_METHODS,
    CLIENT_NOTIFICATIONS,
    SERVER_REQUESTS,
    SERVER_NOTIFICATIONS,
)


def test_the_census_is_that_of_the_pinned_version(pinned: Mapping[str, Any]) -> None:
    assert pinned["version"] == WIRE_REVISION
    kinds = ("client_methods", "client_notifications", "server_requests", "server_notifications")
    assert [len(table) for table in _TABLES] == [pinned[kind] for kind in kinds]
    assert sum(method.experimental for method in CLIENT_METHODS.values()) == pinned["gated_methods"]
    assert [name for name, method in SERVER_REQUESTS.items() if method.experimental] == [
        "currentTime/read"
    ]


def test_every_row_is_complete_and_its_types_exist() -> None:
    for table in _TABLES:
        for name, method in table.items():
            assert method.name == name
            assert (method.params is None) == (method.params_rule == "none")
            assert (method.result is not None) == method.kind.endswith("request")
            for type_name in (method.params, method.result):
                if type_name is not None:
                    assert type_named(type_name) is not None


def test_types_of_the_first_api_are_found_by_name() -> None:
    assert type_named("GitSha") is legacy_v1.GitSha
    assert type_named("ThreadStartParams") is types.ThreadStartParams
    for name in ("NoSuchType", "TypedDict", "sys"):
        with pytest.raises(KeyError):
            type_named(name)


def test_no_result_type_is_kept_by_hand_that_follows_from_the_params() -> None:
    for method, result in overrides.RESULT_TYPES.items():
        params = CLIENT_METHODS[method].params
        assert CLIENT_METHODS[method].result == result
        assert params is None or params.removesuffix("Params") + "Response" != result


def test_nothing_is_kept_by_hand_that_the_schema_has_by_now() -> None:
    from app_server_protocol import _registry_data as data

    assert overrides.LEGACY_METHODS.keys().isdisjoint(row[0] for row in data.CLIENT_METHODS)
    assert overrides.TYPESCRIPT_ONLY_NOTIFICATIONS.keys().isdisjoint(
        row[0] for row in data.SERVER_NOTIFICATIONS
    )
    assert SERVER_NOTIFICATIONS.keys() >= overrides.EXPERIMENTAL_NOTIFICATIONS


def test_the_census_is_printed_without_a_binary(
    capsys: pytest.CaptureFixture[str], pinned: Mapping[str, Any]
) -> None:
    assert main(["census"]) == 0
    stable = pinned["client_methods"] - pinned["gated_methods"]
    assert capsys.readouterr().out == (
        f"registry of {pinned['version']}: {pinned['client_methods']} client methods "
        f"({stable} stable, {pinned['gated_methods']} gated), "
        f"{pinned['server_notifications']} notifications, "
        f"{pinned['server_requests']} server requests\n"
    )


def test_a_binary_that_is_not_there_is_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["census", "--codex-bin", "/nonexistent/codex"]) == 2
    assert "no such program" in capsys.readouterr().err


@pytest.mark.process
@pytest.mark.slow
def test_the_binary_knows_the_same_methods(
    codex_bin: Path, capsys: pytest.CaptureFixture[str], pinned: Mapping[str, Any]
) -> None:
    assert main(["census", "--codex-bin", str(codex_bin)]) == 0
    out = capsys.readouterr().out
    stable = pinned["client_methods"] - pinned["gated_methods"]
    for what, count in {
        "as it recites them": pinned["client_methods"],
        "client methods, stable": stable,
        "\nnotifications": pinned["server_notifications"],
        "server requests": pinned["server_requests"],
    }.items():
        assert f"{what}: {count} here, {count} in the binary" in out


@pytest.mark.process
@pytest.mark.slow
def test_the_types_kept_by_hand_have_the_fields_of_the_binary_s_typescript(codex_bin: Path) -> None:
    """No schema has them; each field's name, and whether it may be null."""
    with _binary.dump(codex_bin, "ts", experimental=True) as folder:
        for name in legacy_v1.__all__:
            kind = getattr(legacy_v1, name)
            if not hasattr(kind, "__required_keys__") or name.startswith("GetConversationSummaryP"):
                continue
            (file,) = folder.rglob(f"{name}.ts")
            _, _, body = file.read_text(encoding="utf-8").partition("export type")
            theirs = dict(re.findall(r"(\w+): ([^,]+),", body))
            mine = get_type_hints(kind)
            assert mine.keys() == theirs.keys(), name
            for field, text in theirs.items():
                assert ("| null" in text) == (type(None) in get_args(mine[field])), field
