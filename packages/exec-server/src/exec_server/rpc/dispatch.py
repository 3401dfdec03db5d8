"""Method name to handler. What a family of methods needs is loaded with its first request.

A client that only runs commands never waits for what files and HTTP requests need, and a
server that has none of these clients does not hold it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from exec_server_protocol.methods import REQUESTS

if TYPE_CHECKING:
    from .connection import Handler

__all__ = ["Dispatch", "family"]


def family(method: str) -> str:
    """Return the part of a method's name that it shares with those that are loaded with it."""
    return method.partition("/")[0]


class Dispatch:
    """The handlers of a server.

    Args:
        loaders: For each family, what returns its handlers by method; called once.
    """

    def __init__(self, loaders: Mapping[str, Callable[[], Mapping[str, Handler]]]) -> None:
        self._loaders = dict(loaders)
        self._handlers: dict[str, Handler] = {}

    def get(self, method: str) -> Handler | None:
        """Return the handler of a method, or ``None`` when there is no such method."""
        found = self._handlers.get(method)
        if found is None and method in REQUESTS:
            self._load(family(method))
            found = self._handlers[method]
        return found

    def load_all(self) -> Mapping[str, Handler]:
        """Load every family, and return all handlers."""
        for name in list(self._loaders):
            self._load(name)
        return self._handlers

    def _load(self, name: str) -> None:
        """Load a family.

        Raises:
            RuntimeError: A method has no handler, or a handler stands under another name.
        """
        handlers = self._loaders[name]()
        different = handlers.keys() ^ {one for one in REQUESTS if family(one) == name}
        if different:
            raise RuntimeError(f"methods and handlers do not match: {sorted(different)}")
        self._handlers.update(handlers)
        del self._loaders[name]
