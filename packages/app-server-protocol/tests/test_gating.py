"""What needs the experimental capability: our words against the real server's."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from app_server_protocol._peer import Peer
from app_server_protocol._structure import definitions
from app_server_protocol.experimental import GATED_PLACES, GatedPlace, reason
from app_server_protocol.registry import CLIENT_METHODS
from app_server_protocol.rpc import UNSET, ErrorResponse, Response

Smallest = Callable[[Any], Any]
_GRANULAR: Any = {"granular": {"sandbox_approval": True, "rules": True, "mcp_elicitations": True}}
_PATH = {"$ref": "#/definitions/AbsolutePathBuf"}
_NOTHINGS: tuple[Any, ...] = (None, "", [], {}, False)
_DEPTH = 5  # of values inside params; gated places are at most two deep


_PLACES = [(method, place) for method, places in GATED_PLACES.items() for place in places]
_FIELDS = [(method, place) for method, place in _PLACES if place.when != "value"]
_NULL_COUNTS = [("thread/list", "projectId")]  # null is a value there: threads without a project


def _params(method: str, smallest: Smallest) -> Any:
    """Return the smallest params that use nothing that is gated."""
    if method == "account/login/start":  # the smallest would be an arm that is gated
        return {"type": "apiKey", "apiKey": "x"}
    name = CLIENT_METHODS[method].params
    return UNSET if name is None else smallest({"$ref": f"#/definitions/{name}"})


def _with(params: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    head, _, rest = path.partition(".")
    return {**params, head: _with(params.get(head) or {}, rest, value) if rest else value}


def _without(params: dict[str, Any], path: str) -> dict[str, Any]:
    head, _, rest = path.partition(".")
    rest_of = {key: value for key, value in params.items() if key != head}
    return {**rest_of, head: _without(params[head], rest)} if rest else rest_of


def _resolved(schema: Any) -> Any:
    while "$ref" in schema or ("anyOf" in schema and {"type": "null"} in schema["anyOf"]):
        if "anyOf" in schema:
            schema = next(arm for arm in schema["anyOf"] if arm != {"type": "null"})
        else:
            schema = definitions()[schema["$ref"].rpartition("/")[2]]
    return schema


def _used(method: str, place: GatedPlace, smallest: Smallest) -> Any:
    """Return params of the right type that use a place, and nothing else that is gated."""
    schema: Any = _resolved({"$ref": f"#/definitions/{CLIENT_METHODS[method].params}"})
    if place.when == "value":
        arms = schema["anyOf"]
        return smallest(next(a for a in arms if a["properties"][place.path]["enum"] == [place.arm]))
    for key in place.path.split("."):
        schema = _resolved(schema["properties"][key])
    if place.when == "key":
        arms = [arm for arm in schema["anyOf"] if place.arm in arm.get("properties", ())]
        schema = arms[0]
    return _with(_params(method, smallest), place.path, smallest(schema))


def _at(params: Any, path: str) -> Any:
    for key in path.split("."):
        params = params[key]
    return params


def _variants(schema: Any, smallest: Smallest, depth: int = 0) -> Iterator[Any]:
    """Yield values of a type that differ in one place: every arm, every text, every field."""
    schema = schema if schema in (True, _PATH) else _resolved(schema)
    if schema in (True, _PATH) or depth > _DEPTH:
        yield smallest(schema)
    elif "anyOf" in schema:
        for arm in schema["anyOf"]:
            yield from _variants(arm, smallest, depth + 1)
    elif "enum" in schema:
        yield from schema["enum"]
    elif "properties" in schema:
        base = smallest(schema)
        yield base
        for key, part in schema["properties"].items():
            for value in _variants(part, smallest, depth + 1):
                yield {**base, key: value}
    elif "items" in schema:
        yield []
        yield from ([item] for item in _variants(schema["items"], smallest, depth + 1))
    else:
        yield smallest(schema)


def test_the_number_of_gated_places_is_that_of_the_pinned_version(
    pinned: Mapping[str, Any],
) -> None:
    """Fields, as many as the two surfaces differ by in params; and arms, found by trying."""
    assert len(_PLACES) == pinned["gated_places"]
    assert sum(place.when in ("key", "value") for _, place in _PLACES) == pinned["gated_arms"]


def test_a_gated_method_is_its_own_reason() -> None:
    assert reason("mock/experimentalMethod", {}) == "mock/experimentalMethod"
    assert reason("mock/experimentalMethod") == "mock/experimentalMethod"


def test_an_open_or_unknown_method_has_none() -> None:
    assert reason("thread/start", {"cwd": "/"}) is None
    assert reason("nope/method", {"environments": []}) is None
    assert reason("thread/start", ["environments"]) is None


@pytest.mark.parametrize(("method", "place"), _PLACES)
def test_a_used_place_is_named(method: str, place: GatedPlace, smallest: Smallest) -> None:
    assert reason(method, _used(method, place, smallest)) == place.descriptor
    assert place.descriptor in (f"{method}.{place.path}", f"{method}.{place.arm}") or (
        place.descriptor == "askForApproval.granular"
    )


@pytest.mark.parametrize(("method", "place"), _FIELDS)
def test_absence_does_not_count_and_null_rarely(
    method: str, place: GatedPlace, smallest: Smallest
) -> None:
    params = _params(method, smallest)
    assert reason(method, params) is None
    counts = (method, place.path) in _NULL_COUNTS
    assert (reason(method, _with(params, place.path, None)) is not None) == counts


def test_an_empty_list_counts_when_the_field_is_optional_and_false_does_not() -> None:
    assert reason("thread/start", {"runtimeWorkspaceRoots": []}) is not None
    assert reason("thread/start", {"experimentalRawEvents": False}) is None
    assert reason("thread/items/list", {"deferOutput": {"mcpToolCall": False}}) is None
    assert reason("thread/items/list", {"deferOutput": 5}) is None
    assert reason("turn/steer", {"additionalContext": {}}) is not None
    assert reason("thread/resume", {"path": ""}) is None
    assert reason("thread/fork", {"beforeTurnId": ""}) is not None


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

        def agree(method: str, params: Any) -> bool:
            """Whether the server gives the reason that is expected; returns if there is one."""
            reply = peer.call(method, params)
            expected = reason(method, params)
            if expected is None:
                assert "experimentalApi" not in str(reply), (method, params)
            else:
                assert isinstance(reply, ErrorResponse), (method, params)
                assert reply.error.message == f"{expected} requires experimentalApi capability"
            return expected is not None

        for method, places in GATED_PLACES.items():
            together = _params(method, smallest)
            fields = [place for place in places if place.when != "value"]
            for place in places:
                assert agree(method, _used(method, place, smallest))
            for place in fields:
                for value in _NOTHINGS:  # of the wrong type they are refused
                    reply = peer.call(method, _with(_params(method, smallest), place.path, value))
                    gated = "experimentalApi" in str(reply)
                    if gated or "Invalid request" not in str(reply):
                        assert gated == place.is_used(_with({}, place.path, value)), (place, value)
                used = _at(_used(method, place, smallest), place.path)
                together = _with(together, place.path, used)
            # All at once: the order in which the server looks.
            for place in fields:
                assert agree(method, together)
                together = _without(together, place.path)


@pytest.mark.process
@pytest.mark.slow
def test_the_server_gates_no_other_arm_of_any_union(codex_bin: Path, smallest: Smallest) -> None:
    """No export tells which arms are gated, so each arm and value is sent to the server once.

    Left out is what would report home or wait for a person. Logging in comes last: with an
    account, the server looks for models on the network before it starts a thread.
    """
    left_out = ("feedback/upload", "initialize")
    login = "account/login/start"
    sent = set()
    with Peer(codex_bin) as peer:
        peer.initialize(experimental=False)
        for name in sorted(
            CLIENT_METHODS.keys() - left_out, key=lambda name: (name == login, name)
        ):
            method = CLIENT_METHODS[name]
            if method.params is None or method.experimental or method.legacy:
                continue
            for params in _variants({"$ref": f"#/definitions/{method.params}"}, smallest):
                text = f"{name} {json.dumps(params, sort_keys=True)}"
                if text in sent or not isinstance(params, dict) or params.get("type") == "chatgpt":
                    continue
                sent.add(text)
                reply = str(peer.call(name, params))
                found = re.search(r"(\S+) requires experimentalApi", reply.replace("'", " "))
                refused = "Invalid request" in reply
                assert refused or (found and found[1]) == reason(name, params), text
    assert len(sent) > 500


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
