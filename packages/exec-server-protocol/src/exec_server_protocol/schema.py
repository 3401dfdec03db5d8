"""The JSON Schema of the whole API, as fixtures that can fail.

::

    python -m exec_server_protocol.schema write     rewrite the fixtures from the code
    python -m exec_server_protocol.schema check     say what differs; exit status 1 if anything
    python -m exec_server_protocol.schema compare   ask the binary $CODEX_BIN what it knows

Fixtures are structure only, without prose, so that a better docstring changes nothing. They
live beside the sources, in ``schema/`` of the package's folder, and are not installed. With
them goes ``_params_table``, the models' members as servers read them.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import TypeAdapter

from . import _params_export, errors, limits
from .methods import METHODS, Family
from .rpc import ErrorResponse, Notification, Request, Response
from .version import WIRE_REVISION

__all__ = ["differences", "export", "main"]

_PROSE: Final = frozenset({"title", "description", "examples"})
_COMMAND: Final = "python -m exec_server_protocol.schema write"


def _structure(value: Any, *, names: bool = False) -> Any:
    """Return a schema without prose. Members of ``properties`` are names, not keywords."""
    if isinstance(value, dict):
        return {
            key: _structure(item, names=key in ("properties", "$defs"))
            for key, item in sorted(value.items())
            if names or key not in _PROSE
        }
    if isinstance(value, list):
        return [_structure(item) for item in value]
    return value


def export() -> dict[str, Any]:
    """Return the fixtures: file name without suffix to content."""
    types: dict[str, Any] = {}
    table: dict[str, Any] = {}
    for method in METHODS.values():
        models = {"params": method.params, "result": method.result}
        entry: dict[str, Any] = {
            "kind": method.kind,
            "direction": method.direction.value,
            "family": method.family,
            "allowed": method.allowed.value,
        }
        if method.extension:
            entry["extension"] = method.extension
        if method.kind == "request":
            fields = method.params.model_fields.items()
            entry["positions"] = [field.alias or name for name, field in fields]
        for role, model in models.items():
            if model is not None:
                entry[role] = model.__name__
                schema = model.model_json_schema(by_alias=True)
                types.update(_structure(schema.pop("$defs", {}), names=True))
                types[model.__name__] = _structure(schema)
        table[method.name] = entry
    envelopes = {
        kind.__name__: _structure(TypeAdapter(kind).json_schema())
        for kind in (Request, Notification, Response, ErrorResponse)
    }
    codes = {name: getattr(errors, name) for name in errors.__all__ if name.isupper()}
    return {
        "methods": {"revision": WIRE_REVISION, "families": get_args(Family), "methods": table},
        "types": types,
        "envelopes": envelopes,
        "constants": {
            "errors": codes,
            "limits": {name: getattr(limits, name) for name in limits.__all__},
        },
    }


def differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Yield one line for each place where two fixtures differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            where = f"{path}.{key}" if path else str(key)
            if key not in new:
                yield f"removed  {where}"
            elif key not in old:
                yield f"added    {where}"
            else:
                yield from differences(old[key], new[key], where)
    elif old != new:
        yield f"changed  {path}: {json.dumps(old)[:80]} -> {json.dumps(new)[:80]}"


def _text(content: Any) -> str:
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _folder() -> Path:
    return Path(__file__).parents[2] / "schema"


def _write(folder: Path) -> int:
    folder.mkdir(exist_ok=True)
    fixtures = export()  # before anything is removed
    for file in folder.glob("*.json"):
        file.unlink()
    for name, content in fixtures.items():
        (folder / f"{name}.json").write_text(_text(content), encoding="utf-8")
    if folder == _folder():
        _params_export.FILE.write_text(_params_export.table_text(), encoding="utf-8")
    return 0


def _check(folder: Path) -> int:
    found = 0
    fixtures = export()
    for file in sorted(folder.glob("**/*")):
        if file.is_file() and file.name not in {f"{name}.json" for name in fixtures}:
            found += 1
            sys.stdout.write(f"{file.relative_to(folder)}: stale, nothing writes it\n")
    for name, content in fixtures.items():
        file = folder / f"{name}.json"
        try:
            old = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            old = {}
        # Through JSON, so that a tuple and a list are the same.
        for line in differences(old, json.loads(_text(content))):
            found += 1
            sys.stdout.write(f"{file.name}: {line}\n")
    if _params_export.FILE.read_text(encoding="utf-8") != _params_export.table_text():
        found += 1
        sys.stdout.write(f"{_params_export.FILE.name}: stale, the models have changed\n")
    if found:
        sys.stdout.write(f"{found} differences from the fixtures; if meant: {_COMMAND}\n")
    else:
        sys.stdout.write("the schema fixtures are up to date\n")
    return 1 if found else 0


def _compare(binary: str) -> int:
    from . import _reference  # only for this

    try:
        lines = _reference.compare(binary)
    except _reference.ReferenceError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.stdout.write(f"{len(lines)} differences between {WIRE_REVISION} here and the binary\n")
    return 1 if lines else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run a verb. Returns the exit status: 0 equal, 1 different, 2 bad usage or could not run."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    match arguments:
        case ["compare", *rest] if len(rest) < 2:
            return _compare(rest[0] if rest else os.environ.get("CODEX_BIN", ""))
        case ["write" | "check" as verb, *rest] if len(rest) < 2:
            folder = Path(rest[0]) if rest else _folder()
            return _write(folder) if verb == "write" else _check(folder)
    sys.stderr.write(
        "usage: python -m exec_server_protocol.schema write|check [FOLDER]\n"
        "       python -m exec_server_protocol.schema compare [CODEX]\n"
    )
    return 2


if __name__ == "__main__":
    sys.exit(main())
