"""Write the source of the tables: ``_registry_data.py`` and ``schema/_facts.py``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from app_server_protocol._overrides import GATE_RULES, GATED_ARMS, RESULT_TYPES
from app_server_protocol.schema._manifest import Layout
from app_server_protocol.schema.layout import ENVELOPE, METHOD_UNIONS
from app_server_protocol.schema.reduce import references
from type_source import TypeSource

__all__ = [
    "client_methods",
    "experimental_fields",
    "facts_source",
    "gates",
    "missing_results",
    "notes",
    "registry_source",
]

Json = Any
Rows = list[tuple[Any, ...]]
_WIDTH: Final = 100  # columns, as in the rest of the tree


def _methods(union: Json) -> Iterator[tuple[str, Json]]:
    """Yield the methods of a union, with the schema of their params or ``None``."""
    for arm in union.get("anyOf", [union]):
        properties = arm["properties"]
        yield properties["method"]["enum"][0], properties.get("params")


def _params(schema: Json) -> tuple[str | None, str]:
    if schema == {"type": "null"}:
        return None, "none"
    if "anyOf" in schema:
        ref = next(arm["$ref"] for arm in schema["anyOf"] if "$ref" in arm)
        return ref.rpartition("/")[2], "nullable"
    return schema["$ref"].rpartition("/")[2], "required"


def _result(method: str, params: str | None) -> str:
    return RESULT_TYPES.get(method) or (params or "").removesuffix("Params") + "Response"


def missing_results(experimental: Mapping[str, Json]) -> list[str]:
    """Return a line about each method whose result type is not known."""
    lines = []
    for union in ("ClientRequest", "ServerRequest"):
        for method, schema in _methods(experimental[union]):
            if _result(method, _params(schema)[0]) not in experimental:
                likely = _likely_results(method, experimental)
                lines.append(f"{method}: no result type (likely: {', '.join(likely) or 'none'})")
    return lines


def _likely_results(method: str, experimental: Mapping[str, Json]) -> list[str]:
    """Return the types that are named like a method, the most similar first."""
    words = [word.lower() for word in method.split("/")]
    found = [
        (sum(len(word) for word in words if word in name.lower()), name)
        for name in experimental
        if name.endswith("Response")
    ]
    best = max(score for score, _ in found)
    return [name for score, name in sorted(found) if best and score == best]


def client_methods(experimental: Mapping[str, Json], stable: Mapping[str, Json]) -> Rows:
    """Return method, params, rule, result and gate of everything a client can call."""
    open_to_all = {method for method, _ in _methods(stable["ClientRequest"])}
    rows: Rows = []
    for method, schema in _methods(experimental["ClientRequest"]):
        params, rule = _params(schema)
        result = _result(method, params)
        rows.append((method, params, rule, result, method not in open_to_all))
    return sorted(rows)


def server_requests(experimental: Mapping[str, Json], stable: Mapping[str, Json]) -> Rows:
    """Return method, params, result and gate of everything the server can call."""
    open_to_all = {method for method, _ in _methods(stable["ServerRequest"])}
    rows: Rows = []
    for method, schema in _methods(experimental["ServerRequest"]):
        params, _rule = _params(schema)
        result = _result(method, params)
        rows.append((method, params, result, method not in open_to_all))
    return sorted(rows)


def server_notifications(experimental: Mapping[str, Json]) -> Rows:
    """Return method and params of everything that the server announces."""
    pairs = _methods(experimental["ServerNotification"])
    return sorted((method, _params(schema)[0]) for method, schema in pairs)


def experimental_fields(
    experimental: Mapping[str, Json], stable: Mapping[str, Json]
) -> dict[str, tuple[str, ...]]:
    """Return the gated fields of types that are not gated themselves."""
    out = {}
    for name in sorted(stable.keys() - set(METHOD_UNIONS)):
        mine = experimental[name].get("properties", {}) if experimental[name] is not True else {}
        theirs = stable[name].get("properties", {}) if stable[name] is not True else {}
        if gated := sorted(mine.keys() - theirs.keys()):
            out[name] = tuple(gated)
    return out


def _used_when(schema: Json) -> str:
    """Return when the server calls a field used, from the kind of its type."""
    if isinstance(schema, dict):
        if schema.get("type") == "boolean":
            return "true"
        if schema.get("type") in ("array", "object"):
            return "not empty"
    return "not null"


def _table(name: str, annotation: str, rows: Iterable[tuple[Any, ...]], doc: str) -> str:
    lines = [f"    {_literal(row)}," for row in rows]
    return "\n".join([f"{name}: Final[{annotation}] = (", *lines, ")", f'"""{doc}"""'])


def _literal(value: Any) -> str:
    return repr(value).replace("'", '"')


def gates(
    experimental: Mapping[str, Json],
    stable: Mapping[str, Json],
    order: Mapping[str, Sequence[str]],
) -> dict[str, list[tuple[str, str, str]]]:
    """Return the gated places in the params of each method that is not gated itself.

    Each is a path in the params, when the server takes it for used, and the server's words.

    Args:
        experimental: All definitions.
        stable: Those of the stable surface.
        order: Method to the places in the server's order, which no schema tells; what is not
            in it comes last.
    """
    fields = experimental_fields(experimental, stable)

    def inside(method: str, name: str, path: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
        if name in GATED_ARMS:
            tag, words, arms = GATED_ARMS[name]
            place = ".".join([*path, tag] if tag else path)
            for arm in arms:
                yield place, "value" if tag else "key", f"{words}.{arm}"
        if not isinstance(experimental[name], dict):
            return
        for key, part in experimental[name].get("properties", {}).items():
            place = ".".join([*path, key])
            if key in fields.get(name, ()):
                when = GATE_RULES.get((method, place)) or _used_when(part)
                yield place, when, f"{method}.{place}"
                continue
            for other in references({**part, "items": {}} if isinstance(part, dict) else part):
                yield from inside(method, other, (*path, key))

    out = {}
    for method, params, _rule, _result_type, gated in client_methods(experimental, stable):
        if params is not None and not gated:
            known = list(order.get(method, ()))
            rank = {path: number for number, path in enumerate(known)}
            found = inside(method, params, ())
            rows = sorted(found, key=lambda row: (rank.get(row[0], len(known)), row))
            if rows:
                out[method] = rows
    return out


def registry_source(
    version: str,
    experimental: Mapping[str, Json],
    stable: Mapping[str, Json],
    order: Mapping[str, Sequence[str]],
) -> str:
    """Return ``_registry_data.py`` without its header."""
    notifications = _methods(experimental["ClientNotification"])
    found = gates(experimental, stable, order)
    chunks = [
        f'WIRE_REVISION: Final = "{version}"\n"""The binary whose wire this is."""',
        _table(
            "CLIENT_METHODS",
            "tuple[tuple[str, str | None, ParamsRule, str, bool], ...]",
            client_methods(experimental, stable),
            "Method, params type, rule for params, result type, experimental.",
        ),
        _table(
            "SERVER_REQUESTS",
            "tuple[tuple[str, str, str, bool], ...]",
            server_requests(experimental, stable),
            "Method, params type, result type, experimental.",
        ),
        _table(
            "SERVER_NOTIFICATIONS",
            "tuple[tuple[str, str], ...]",
            server_notifications(experimental),
            "Method, params type.",
        ),
        _table(
            "CLIENT_NOTIFICATIONS",
            "tuple[tuple[str], ...]",
            sorted((method,) for method, _ in notifications),
            "Method; none has params.",
        ),
        _table(
            "GATES",
            "tuple[tuple[str, str, UsedWhen, str], ...]",
            [(method, *row) for method, rows in found.items() for row in rows],
            "Method, gated place in its params, when that counts as used, the server's words. "
            "In its order.",
        ),
    ]
    return "\n\n".join(chunks)


def notes(experimental: Mapping[str, Json], stable: Mapping[str, Json]) -> dict[str, str]:
    """Return a line about each type that belongs to a method: what it is of."""
    found: dict[str, list[str]] = {}

    def note(name: str | None, text: str) -> None:
        if name is not None:
            found.setdefault(name, []).append(text)

    for method, params, _rule, result, _gated in client_methods(experimental, stable):
        note(params, f"Params of ``{method}``")
        note(result, f"Result of ``{method}``")
    for method, params, result, _gated in server_requests(experimental, stable):
        note(params, f"Params of the server's ``{method}``")
        note(result, f"Result of the server's ``{method}``")
    for method, params in server_notifications(experimental):
        note(params, f"Params of the notification ``{method}``")
    gated = experimental.keys() - stable.keys()
    out = {}
    for name in sorted(found.keys() | gated):
        text = "; ".join(found.get(name, ()))
        out[name] = f"{text}." if text else ""
        if name in gated:
            out[name] = f"{out[name]} Experimental.".strip()
        if len(out[name]) > _WIDTH - 10:
            out[name] = out[name].replace("; ", ";\n    ")
    return out


def _names(name: str, values: Iterable[str], doc: str) -> str:
    lines = [f'        "{value}",' for value in sorted(values)]
    body = "\n".join([f"{name}: Final = frozenset(", "    {", *lines, "    }", ")"])
    return f'{body}\n"""{doc}"""'


def facts_source(
    source: TypeSource,
    experimental: Mapping[str, Json],
    stable: Mapping[str, Json],
    layout: Layout,
) -> str:
    """Return ``schema/_facts.py`` without its header."""
    arms = []
    for name in sorted(stable.keys() - set(METHOD_UNIONS) - set(ENVELOPE)):
        mine, theirs = experimental[name], stable[name]
        if mine is not True and "anyOf" in mine and "anyOf" in theirs:
            gone = [arm for arm in mine["anyOf"] if arm not in theirs["anyOf"]]
            arms += [name_of for arm in gone if (name_of := source.arms.get((name, repr(arm))))]
    fields = experimental_fields(experimental, stable)
    gated = [f"{name}.{field}" for name, some in fields.items() for field in some]
    files = {folder: tuple(sorted(names)) for folder, names in sorted(layout.files.items())}
    lines = []
    for folder, names in files.items():
        lines += [f'    "{folder}": (', *(f'        "{name}",' for name in names), "    ),"]
    return "\n\n".join(
        [
            _names(
                "INLINE_TYPES",
                source.inline,
                "Classes that are no definitions: arms of unions, and nested objects.",
            ),
            _names(
                "CLOSED_TYPES",
                source.closed,
                "Classes whose objects may hold nothing but their fields.",
            ),
            _names(
                "OPEN_TYPES",
                source.open,
                "Classes whose objects are meant to hold more than their fields.",
            ),
            _names(
                "EXPERIMENTAL_TYPES",
                experimental.keys() - stable.keys(),
                "Definitions that the stable surface lacks.",
            ),
            _names("EXPERIMENTAL_FIELDS", gated, "Fields that the stable surface lacks."),
            _names("EXPERIMENTAL_ARMS", arms, "Arms of unions that the stable surface lacks."),
            _names(
                "NOT_IN_FLAT_BUNDLE",
                layout.not_in_flat_bundle,
                "Definitions that the binary's second bundle lacks.",
            ),
            "\n".join(["FILES: Final[dict[str, tuple[str, ...]]] = {", *lines, "}"])
            + '\n"""Folder of a dump to the types with a file in it."""',
        ]
    )
