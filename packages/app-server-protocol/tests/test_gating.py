"""What needs the experimental capability: our words against the real server's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from app_server_protocol._peer import Peer
from app_server_protocol._structure import definitions
from app_server_protocol.experimental import GATED_PLACES, reason
from app_server_protocol.registry import CLIENT_METHODS
from app_server_protocol.rpc import UNSET, ErrorResponse, Response

Smallest = Callable[[Any], Any]
_GRANULAR = {"granular": {"sandbox_approval": True, "rules": True, "mcp_elicitations": True}}


def _params(method: str, smallest: Smallest) -> Any:
    name = CLIENT_METHODS[method].params
    return UNSET if name is None else smallest({"$ref": f"#/definitions/{name}"})


def _with(params: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    head, _, rest = path.partition(".")
    return {**params, head: _with(params.get(head) or {}, rest, value) if rest else value}


def _without(params: dict[str, Any], path: str) -> dict[str, Any]:
    head, _, rest = path.partition(".")
    rest_of = {key: value for key, value in params.items() if key != head}
    return {**rest_of, head: _without(params[head], rest)} if rest else rest_of


def _used(method: str, path: str, when: str, smallest: Smallest) -> Any:
    """Return a value of the right type that counts as used."""
    if when == "granular":
        return _GRANULAR
    schema: Any = {"$ref": f"#/definitions/{CLIENT_METHODS[method].params}"}
    for key in path.split("."):
        while "$ref" in schema or "anyOf" in schema:
            if "anyOf" in schema:
                schema = next(arm for arm in schema["anyOf"] if arm != {"type": "null"})
            else:
                schema = definitions()[schema["$ref"].rpartition("/")[2]]
        schema = schema["properties"][key]
    return smallest(schema)


_PLACES = [(method, path, when) for method, places in GATED_PLACES.items() for path, when in places]


def test_the_number_of_gated_places_is_that_of_the_pinned_version() -> None:
    assert len(_PLACES) == 53
    assert sum(when == "granular" for _, _, when in _PLACES) == 4


def test_a_gated_method_is_its_own_reason() -> None:
    assert reason("mock/experimentalMethod", {}) == "mock/experimentalMethod"
    assert reason("mock/experimentalMethod") == "mock/experimentalMethod"


def test_an_open_or_unknown_method_has_none() -> None:
    assert reason("thread/start", {"cwd": "/"}) is None
    assert reason("nope/method", {"environments": []}) is None
    assert reason("thread/start", ["environments"]) is None


@pytest.mark.parametrize(("method", "path", "when"), _PLACES)
def test_a_used_place_is_named(method: str, path: str, when: str, smallest: Smallest) -> None:
    params = _with(_params(method, smallest), path, _used(method, path, when, smallest))
    expected = "askForApproval.granular" if when == "granular" else f"{method}.{path}"
    assert reason(method, params) == expected


@pytest.mark.parametrize(("method", "path", "when"), _PLACES)
def test_null_and_absent_do_not_count(
    method: str, path: str, when: str, smallest: Smallest
) -> None:
    assert reason(method, _with(_params(method, smallest), path, None)) is None
    assert reason(method, _params(method, smallest)) is None


def test_an_empty_list_counts_when_the_field_is_optional_and_false_does_not() -> None:
    assert reason("thread/start", {"runtimeWorkspaceRoots": []}) is not None
    assert reason("thread/start", {"experimentalRawEvents": False}) is None
    assert reason("thread/items/list", {"deferOutput": {"mcpToolCall": False}}) is None
    assert reason("thread/items/list", {"deferOutput": 5}) is None


def test_the_first_place_in_the_server_s_order_is_named() -> None:
    params = {"experimentalRawEvents": True, "environments": [], "approvalPolicy": _GRANULAR}
    assert reason("thread/start", params) == "askForApproval.granular"
    del params["approvalPolicy"]
    assert reason("thread/start", params) == "thread/start.environments"


# --------------------------------------------------------------------------- live


@pytest.mark.process
@pytest.mark.slow
def test_the_server_gives_the_same_reason_for_every_gated_method(
    codex_bin: Path, smallest: Smallest
) -> None:
    with Peer(codex_bin) as peer:
        peer.initialize(experimental=False)
        for name, method in CLIENT_METHODS.items():
            if method.experimental:
                params = _params(name, smallest)
                reply = peer.call(name, params)
                assert isinstance(reply, ErrorResponse)
                expected = f"{reason(name, params)} requires experimentalApi capability"
                assert reply.error.message == expected


@pytest.mark.process
@pytest.mark.slow
def test_the_server_gives_the_same_reason_for_every_gated_place(
    codex_bin: Path, smallest: Smallest
) -> None:
    with Peer(codex_bin) as peer:
        peer.initialize(experimental=False)
        for method in GATED_PLACES:
            together = params = _params(method, smallest)
            for path, when in GATED_PLACES[method]:
                value = _used(method, path, when, smallest)
                together = _with(together, path, value)
                reply = peer.call(method, _with(params, path, value))
                assert isinstance(reply, ErrorResponse)
                expected = reason(method, _with(params, path, value))
                assert reply.error.message == f"{expected} requires experimentalApi capability"
                null = peer.call(method, _with(params, path, None))
                if isinstance(null, ErrorResponse):
                    assert "experimentalApi" not in null.error.message
            # All at once: the order in which the server looks.
            for path, _when in GATED_PLACES[method]:
                reply = peer.call(method, together)
                assert isinstance(reply, ErrorResponse)
                expected = reason(method, together)
                assert reply.error.message == f"{expected} requires experimentalApi capability"
                together = _without(together, path)


@pytest.mark.process
@pytest.mark.slow
def test_an_empty_list_gates_and_null_does_not_on_the_server(codex_bin: Path) -> None:
    with Peer(codex_bin) as peer:
        peer.initialize(experimental=False)
        cwd = str(codex_bin.parent)
        empty = peer.call("thread/start", {"cwd": cwd, "runtimeWorkspaceRoots": []})
        assert isinstance(empty, ErrorResponse)
        assert empty.error.message.startswith("thread/start.runtimeWorkspaceRoots requires")
        null = peer.call("thread/start", {"cwd": cwd, "runtimeWorkspaceRoots": None})
        assert isinstance(null, Response)


@pytest.mark.process
@pytest.mark.slow
def test_null_clears_and_absence_leaves_alone_on_the_server(codex_bin: Path) -> None:
    with Peer(codex_bin) as peer:
        peer.initialize(experimental=False)
        started = peer.call("thread/start", {"cwd": str(codex_bin.parent)})
        assert isinstance(started, Response)
        thread_id = started.result["thread"]["id"]

        def update(git_info: dict[str, Any]) -> Response | ErrorResponse:
            params = {"threadId": thread_id, "gitInfo": git_info}
            return peer.call("thread/metadata/update", params)

        written = update({"branch": "b", "sha": "s"})
        assert isinstance(written, Response)
        assert written.result["thread"]["gitInfo"]["branch"] == "b"
        cleared = update({"branch": None})
        assert isinstance(cleared, Response)
        assert cleared.result["thread"]["gitInfo"]["branch"] is None
        assert cleared.result["thread"]["gitInfo"]["sha"] == "s"
        empty = update({})
        assert isinstance(empty, ErrorResponse)
        assert empty.error.message == "gitInfo must include at least one field"
