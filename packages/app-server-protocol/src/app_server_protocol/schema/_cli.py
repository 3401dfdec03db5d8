"""The verbs of ``python -m app_server_protocol.schema``."""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from .. import _binary
from ..errors import ToolError
from ._compare import Change, changes, report
from ._dump import Dump, read_dump
from ._export import export, export_fixtures
from ._manifest import BUNDLE, FLAT_BUNDLE
from .layout import ENVELOPE_FILES, FIXTURES, SURFACES, WRITE_COMMAND
from .reduce import Json, fixture_text, reduce_bundle

__all__ = ["main"]

_DIFF_LINES: Final = 200  # of each file; enough to see what happened, few enough to read
_OURS: Final = (".py", ".pyc")  # the fixtures share their folder with modules
_DUMPED: Final = (BUNDLE, FLAT_BUNDLE)


def _print(*lines: str) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)


def _present(folder: Path) -> set[str]:
    """Return the files of a folder of fixtures, modules left out."""
    if not folder.is_dir():
        raise ToolError(f"no such folder: {folder}")
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix not in _OURS
    }


def _load(path: Path) -> Json:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {"definitions": reduce_bundle(content)} if "definitions" in content else content
    except (OSError, ValueError) as error:
        raise ToolError(f"{path.name}: {error}") from error


def _write(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    fixtures = export_fixtures()  # before anything is removed
    for name in _present(folder):
        (folder / name).unlink()
    for name, content in fixtures.items():
        (folder / name).write_text(fixture_text(content), encoding="utf-8")
    _print(f"wrote {', '.join(sorted(fixtures))}")
    return 0


# --------------------------------------------------------------------------- check


def _content_report(name: str, old: Json, new: Json) -> list[str]:
    if "definitions" in new:
        found: Sequence[Change] = list(changes(old.get("definitions", {}), new["definitions"]))
    else:
        found = list(_plain_changes("", old, new))
    lines = [f"{name}: {change.group}: {change}" for change in found]
    pair = (fixture_text(old).splitlines(), fixture_text(new).splitlines())
    diff = difflib.unified_diff(*pair, name, f"{name} (from the types)", n=2, lineterm="")
    shown = list(islice(diff, _DIFF_LINES + 1))
    if len(shown) > _DIFF_LINES:
        shown[-1] = "…"
    return [*lines, *shown]


def _plain_changes(path: str, old: Json, new: Json) -> list[Change]:
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return [Change("changed", "manifest", path, f"{json.dumps(old)} -> {json.dumps(new)}")]
    out = []
    for key in sorted(old.keys() | new.keys()):
        where = f"{path}.{key}" if path else key
        if key not in new:
            out.append(Change("removed", "manifest", where))
        elif key not in old:
            out.append(Change("added", "manifest", where))
        elif old[key] != new[key]:
            out += _plain_changes(where, old[key], new[key])
    return out


def _check(folder: Path) -> int:
    fixtures = export_fixtures()
    present = _present(folder)
    lines = [f"{name}: missing" for name in sorted(fixtures.keys() - present)]
    lines += [f"{name}: stale, nothing writes it" for name in sorted(present - fixtures.keys())]
    for name in sorted(fixtures.keys() & present):
        old = _load(folder / name)
        if old != fixtures[name]:
            lines += _content_report(name, old, fixtures[name])
    if lines:
        _print(*lines, f"the fixtures differ from the types; if that is meant: {WRITE_COMMAND}")
        return 1
    counts = ", ".join(f"{len(export(surface))} definitions {surface}" for surface in SURFACES)
    _print(f"the schema fixtures are up to date: {counts}")
    return 0


# --------------------------------------------------------------------------- compare


def _compare(folder: Path, binary: Path, *, only: str | None) -> int:
    recorded = _load(folder / "manifest.json")
    mine, theirs = recorded["binary"]["version"], _binary.version(binary)
    _print(f"fixtures: {mine}; binary: {theirs}")
    wanted: Callable[[str], bool] = ENVELOPE_FILES.__contains__ if only else lambda path: True
    found = 0
    for surface in SURFACES:
        dump = read_dump(binary, experimental=surface == "experimental")
        files = {k: v for k, v in recorded["surfaces"][surface]["files"].items() if wanted(k)}
        definitions = _load(folder / f"{surface}.json")["definitions"]
        found += _compare_surface(surface, dump, definitions, files, wanted, only=only)
    return 1 if found else 0


def _compare_surface(
    surface: str,
    dump: Dump,
    definitions: Mapping[str, Json],
    files: Mapping[str, str],
    wanted: Callable[[str], bool],
    *,
    only: str | None,
) -> int:
    dumped = {path: text for path, text in dump.digests().items() if wanted(path)}
    if only:
        names = {Path(path).stem for path in files}
        definitions = {name: definitions[name] for name in definitions if name in names}
        theirs = {name: schema for name, schema in dump.definitions.items() if name in names}
    else:
        theirs = dump.definitions
    found = list(changes(definitions, theirs))
    paths = [change for change in _plain_changes("", files, dumped) if change.kind != "changed"]
    differing = [
        path for path in sorted(files.keys() & dumped.keys()) if files[path] != dumped[path]
    ]
    # A file that differs for no reason among the definitions would be news of its own.
    if not found and any(path not in _DUMPED for path in differing):
        paths += [Change("changed", "files", path) for path in differing]
    found += [Change(change.kind, "files", change.path) for change in paths]
    equal = len(files.keys() & dumped.keys()) - len(differing)
    _print(
        f"{surface}: {len(theirs)} definitions, {len(dumped)} files ({equal} equal), "
        f"{len(found)} differences",
        *report(found),
    )
    return len(found) + len(differing)


# --------------------------------------------------------------------------- main


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m app_server_protocol.schema",
        description="The schema fixtures of this package.",
        epilog="Exit status: 0 equal, 1 different, 2 could not run.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    compare = "compare the fixtures with what a real binary exports"
    for verb, text in {
        "write": "rewrite the fixtures from the types",
        "check": "compare the fixtures with the types",
        "compare": compare,
    }.items():
        sub = verbs.add_parser(verb, help=text, description=text)
        sub.add_argument("--fixtures", type=Path, default=FIXTURES, metavar="FOLDER")
        if verb == "compare":
            sub.add_argument(
                "--codex-bin", metavar="PATH", help=f"default: ${_binary.ENVIRONMENT_VARIABLE}"
            )
            sub.add_argument("--only", choices=["envelope"], help="just the envelope's types")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a verb. Returns the exit status: 0 equal, 1 different, 2 could not run."""
    options = _parser().parse_args(argv)
    try:
        if options.verb == "write":
            return _write(options.fixtures)
        if options.verb == "check":
            return _check(options.fixtures)
        return _compare(options.fixtures, _binary.find(options.codex_bin), only=options.only)
    except ToolError as error:
        sys.stderr.write(f"{error}\n")
        return 2
