"""Manifest of the binary's dump: a digest for each file, as far as it follows from the types.

Every file that the binary writes for one type is that type with the definitions it needs, and
its two bundles are all definitions, or all but a few. So a digest of the structure of each
file follows from the definitions, and the manifest can be checked without the binary.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .reduce import Json, canonical_text, needed

__all__ = ["BUNDLE", "FLAT_BUNDLE", "Layout", "digest", "file_digests", "manifest"]

BUNDLE = "codex_app_server_protocol.schemas.json"
FLAT_BUNDLE = "codex_app_server_protocol.v2.schemas.json"
"""The second bundle is meant for generators that cannot follow references; it lacks types."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths of the files that the binary writes.

    Attributes:
        files: Folder to the types that have a file in it; ``""`` is the dump's own folder.
        not_in_flat_bundle: Definitions that the second bundle lacks.
    """

    files: Mapping[str, tuple[str, ...]]
    not_in_flat_bundle: frozenset[str]


def digest(definitions: Mapping[str, Json]) -> str:
    """Return a short digest of reduced definitions.

    64 bits: it has to tell apart versions of one file, not to withstand an attack.
    """
    return hashlib.sha256(canonical_text(definitions).encode()).hexdigest()[:16]


def file_digests(definitions: Mapping[str, Json], layout: Layout) -> dict[str, str]:
    """Return the digest of each file that a dump of these definitions has, by its path."""
    flat = {k: v for k, v in definitions.items() if k not in layout.not_in_flat_bundle}
    out = {BUNDLE: digest(definitions), FLAT_BUNDLE: digest(flat)}
    for folder, names in layout.files.items():
        for name in names:
            if name in definitions:
                local = {other: definitions[other] for other in needed(name, definitions)}
                path = f"{folder}/{name}.json" if folder else f"{name}.json"
                out[path] = digest({**local, "": definitions[name]})
    return dict(sorted(out.items()))


def manifest(
    version: str,
    surfaces: Mapping[str, Mapping[str, Json]],
    layout: Layout,
    gates: Mapping[str, Sequence[str]],
) -> Json:
    """Return the manifest: the binary, and for each surface its size and its files.

    Args:
        version: Of the binary.
        surfaces: The definitions of each surface.
        layout: Where the binary writes what.
        gates: Method to the gated places in its params, in the order in which the server
            looks at them. No schema has that order.
    """
    return {
        "binary": {"name": "codex", "npm_package": "@openai/codex", "version": version},
        "digest": "the first 16 hexadecimal digits of SHA-256 over the reduced file",
        "gates": {method: list(dict.fromkeys(paths)) for method, paths in gates.items()},
        "not_in_flat_bundle": sorted(layout.not_in_flat_bundle),
        "surfaces": {
            surface: {
                "definitions": len(definitions),
                "files": file_digests(definitions, layout),
            }
            for surface, definitions in surfaces.items()
        },
    }
