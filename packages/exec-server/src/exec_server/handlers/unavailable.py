"""Methods of the wire that this version does not offer.

They are refused after the checks that every request passes, so that a client learns of a
mistake of its own first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from exec_server_protocol.errors import MethodNotFoundError
from exec_server_protocol.methods import REQUESTS

if TYPE_CHECKING:
    from ..connection.connection import Connection, Handler

__all__ = ["HANDLERS"]


def _refuse(connection: Connection, params: Any) -> bytes:
    raise MethodNotFoundError("this executor does not offer the method")


HANDLERS: Final[Mapping[str, Handler]] = {
    name: _refuse for name, method in REQUESTS.items() if method.family == "filesystem"
}
"""Handlers by method."""
