"""Dump of a binary: the schema files that it exports, read and reduced."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .. import _binary
from ..errors import ToolError
from ._manifest import BUNDLE, FLAT_BUNDLE, Layout, digest
from .reduce import Json, reduce_bundle

__all__ = ["Dump", "read_dump", "read_folder"]


@dataclass(frozen=True, slots=True)
class Dump:
    """One surface of a binary.

    Attributes:
        files: Each file by its path in the dump, reduced; a type's own file has it as ``""``.
    """

    files: Mapping[str, Mapping[str, Json]]

    @property
    def definitions(self) -> dict[str, Json]:
        """All definitions."""
        return dict(self.files[BUNDLE])

    def digests(self) -> dict[str, str]:
        """Return the digest of each file by its path."""
        return {path: digest(content) for path, content in self.files.items()}

    def layout(self) -> Layout:
        """Return where this binary writes what."""
        files: dict[str, list[str]] = {}
        for path in self.files.keys() - {BUNDLE, FLAT_BUNDLE}:
            folder, _, name = path.removesuffix(".json").rpartition("/")
            files.setdefault(folder, []).append(name)
        missing = self.files[BUNDLE].keys() - self.files[FLAT_BUNDLE].keys()
        return Layout(
            {folder: tuple(sorted(names)) for folder, names in sorted(files.items())},
            frozenset(missing),
        )


def read_folder(folder: Path) -> Dump:
    """Return the dump in a folder.

    Raises:
        ToolError: A file is no schema that can be reduced, or the bundles are missing.
    """
    files = {}
    for path in sorted(folder.rglob("*.json")):
        name = path.relative_to(folder).as_posix()
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            files[name] = reduce_bundle(content, single=name not in (BUNDLE, FLAT_BUNDLE))
        except (ToolError, ValueError) as error:
            raise ToolError(f"{name}: {error}") from error
    if not {BUNDLE, FLAT_BUNDLE} <= files.keys():
        raise ToolError("the dump has no bundle")
    return Dump(files)


def read_dump(binary: Path, *, experimental: bool) -> Dump:
    """Return what a binary exports.

    Raises:
        ToolError: It does not run, or exports what cannot be reduced.
    """
    with _binary.dump(binary, "json-schema", experimental=experimental) as folder:
        return read_folder(folder)
