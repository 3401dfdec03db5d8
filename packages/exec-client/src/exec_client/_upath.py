"""The paths of ``universal_pathlib`` on an executor, which keep the executor when they are text.

That library finds them by the entry point; nothing here is imported by the rest.
"""

from __future__ import annotations

import os

try:
    from fsspec import get_filesystem_class  # type: ignore[import-untyped]
    from upath import UPath
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "paths on an executor need fsspec and universal_pathlib: "
        "pip install 'exec-client[fsspec]' universal-pathlib",
        name=error.name,
    ) from error

from ._fsspec.names import PROTOCOLS, canonical, joined
from .environment.config import url_from_environ

__all__ = ["ExecPath"]

for _protocol in PROTOCOLS:
    get_filesystem_class(_protocol)  # the library takes URLs apart with what fsspec has loaded

_WITHOUT_EXECUTOR = tuple(f"{protocol}:///" for protocol in PROTOCOLS)


class ExecPath(UPath):
    """A path on an executor: ``UPath("exec://HOST:PORT/path")``."""

    __slots__ = ()

    def __str__(self) -> str:
        text = super().__str__()
        if not text.startswith(_WITHOUT_EXECUTOR):
            return text  # relative, or in a chain
        address = self.storage_options.get("url") or url_from_environ(os.environ)
        if address is None:
            return text
        return joined(canonical(address), self.path)
