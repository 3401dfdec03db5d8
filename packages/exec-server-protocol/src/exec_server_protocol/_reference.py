"""Comparison of the method table with a real binary, which exports no schema of this wire.

It is asked instead. Params are decoded before the state of the handshake is looked at, so a
server that was never initialized tells which methods it knows, which members it misses, and how
many there are, and carries nothing out.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final

from .errors import METHOD_NOT_FOUND
from .methods import REQUESTS, Method
from .version import WIRE_REVISION

__all__ = ["ReferenceError", "compare"]

_SECONDS: Final = 60  # an answer takes a millisecond; this is for a machine in trouble
_MOST_MEMBERS: Final = 20  # of one params object; the longest has 14
_DEAD_PROXY: Final = "http://127.0.0.1:9"  # the discard port: refuses at once
_NO_METHOD: Final = "exec-server-protocol/compare"


class ReferenceError(Exception):
    """The binary could not be asked; the text is for the person at the terminal."""


def compare(binary: str) -> list[str]:
    """Return a line for each difference between the registry and a binary.

    Args:
        binary: Name or path of the ``codex`` program.

    Raises:
        ReferenceError: It does not run, or does not answer as expected.
    """
    program = shutil.which(binary) if binary else None
    if program is None:
        raise ReferenceError("no binary: name one, or set CODEX_BIN")
    program = str(Path(program).resolve())  # it runs in another folder
    with tempfile.TemporaryDirectory(prefix="exec-server-compare-") as home:
        return [*_version(program, home), *_methods(program, home)]


def _environment(home: str) -> dict[str, str]:
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), _DEAD_PROXY)
    return {"CODEX_HOME": home, "HOME": home, "PATH": os.environ.get("PATH", os.defpath), **proxies}


def _version(program: str, home: str) -> Iterator[str]:
    try:
        out = subprocess.run(  # the binary that the caller named
            [program, "--version"],
            env=_environment(home),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise ReferenceError(f"{program} did not run: {error}") from error
    found = re.search(r"\d+\.\d+\.\d+\S*", out)
    if found is None:
        raise ReferenceError(f"{program} --version does not tell a version")
    if found[0] != WIRE_REVISION:
        yield f"changed  version: {WIRE_REVISION} -> {found[0]}"


def _errors(program: str, home: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the error that each method answers its params with."""
    lines = [
        json.dumps({"id": name, "method": name, "params": value}) + "\n"
        for name, value in params.items()
    ]
    try:
        child = subprocess.Popen(  # the binary that the caller named
            [program, "exec-server", "--listen", "stdio://"],
            env=_environment(home),
            cwd=home,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            process_group=0,  # what npm installs is a launcher with the server as its child
        )
    except OSError as error:
        raise ReferenceError(f"{program} did not run: {error}") from error
    guard = threading.Timer(_SECONDS, os.killpg, (child.pid, signal.SIGKILL))
    guard.start()
    try:
        assert child.stdin is not None and child.stdout is not None  # noqa: PT018, S101  # pipes
        # All of it fits into a pipe. The server forgets answers when its input ends.
        child.stdin.write("".join(lines))
        child.stdin.flush()
        answers = [json.loads(line) for line in islice(child.stdout, len(lines))]
        errors = {answer["id"]: answer["error"] for answer in answers}
        return {name: errors[name] for name in params}
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise ReferenceError(f"{program} answered something else: {error!r}") from error
    finally:
        guard.cancel()
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()


def _methods(program: str, home: str) -> Iterator[str]:
    asked: dict[str, Any] = {name: {} for name, method in REQUESTS.items() if name != "initialize"}
    errors = _errors(program, home, {**asked, _NO_METHOD: {}})
    if errors[_NO_METHOD]["code"] != METHOD_NOT_FOUND:
        raise ReferenceError("the binary knows a method that does not exist")
    known = {}
    for name in asked:
        lacks = errors[name]["code"] == METHOD_NOT_FOUND
        if lacks and REQUESTS[name].extension is None:
            yield f"removed  {name}"
        elif not lacks and REQUESTS[name].extension is not None:
            yield f"added    {name}: it was ours alone, as {REQUESTS[name].extension}"
        if not lacks and not REQUESTS[name].takes_no_params:
            known[name] = REQUESTS[name]
    required = _required(program, home, known)
    counts = _errors(program, home, {name: [] for name in known})
    for name, method in sorted(known.items()):
        fields = method.params.model_fields
        mine = [f.alias or key for key, f in fields.items() if f.is_required()]
        if required[name] != mine:
            stem = method.params.__name__
            yield f"changed  {stem} required: {mine} -> {required[name]}"
        # Extensions are the optional members that are left out of the JSON when unset.
        size = sum(field.exclude_if is None for field in fields.values())
        theirs = re.search(r"with (\d+) elements?", counts[name]["message"])
        if theirs is not None and int(theirs[1]) != size:
            yield f"changed  {method.params.__name__} members: {size} -> {theirs[1]}"


def _required(
    program: str, home: str, methods: Mapping[str, Method[Any, Any]]
) -> dict[str, list[str]]:
    """Return the members that each method misses, one after the other."""
    found: dict[str, list[str]] = {name: [] for name in methods}
    params: dict[str, dict[str, Any]] = {name: {} for name in methods}
    open_methods = list(methods)
    for _ in range(_MOST_MEMBERS):
        errors = _errors(program, home, {name: params[name] for name in open_methods})
        missing = {
            name: match[1]
            for name, error in errors.items()
            if (match := re.fullmatch(r"missing field `(.+)`", error["message"]))
        }
        # A member that was just given and is missed again is one further inside another.
        open_methods = [name for name, member in missing.items() if member not in params[name]]
        for name in open_methods:
            found[name].append(missing[name])
            params[name][missing[name]] = _sample(methods[name], missing[name])
        if not open_methods:
            break
    return found


def _sample(method: Method[Any, Any], member: str) -> Any:
    """Return the smallest value of a member, from our schema; ``None`` if it is not known."""
    schema = method.params.model_json_schema(by_alias=True)
    return _smallest(schema["properties"].get(member, {}), schema.get("$defs", {}))


def _smallest(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Any:
    if "$ref" in schema:
        return _smallest(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            properties = schema.get("properties", {})
            names = schema.get("required", ())
            return {name: _smallest(properties[name], definitions) for name in names}
        case "string":
            return "file:///" if schema.get("format") == "uri" else ""
        case "integer":
            return schema.get("minimum", 0)
        case "boolean":
            return False
        case "array":
            return []
    return None
