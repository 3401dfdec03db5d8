"""Requests that the server will understand, or the reason why it would not.

The server ignores params that it does not know, so a typo is silent there. Here it is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._structure import findings
from .errors import ExperimentalApiError, InvalidParamsError, UnknownMethodError
from .experimental import reason
from .registry import CLIENT_METHODS
from .rpc import UNSET, Request, RequestId

__all__ = ["check", "request"]


def check(method: str, params: Any = UNSET, *, experimental_api: bool = False) -> None:
    """Refuse params that the server would refuse or misread.

    Names, kinds of values and fixed texts are checked; ranges of numbers are not (that is
    what ``validate`` is for), nor what lies within a type that is open.

    Args:
        method: The method's name.
        params: What would be sent; leave it out to send none.
        experimental_api: The connection asked for that capability.

    Raises:
        UnknownMethodError: No table here has the method.
        InvalidParamsError: The params do not fit; ``problems`` names the places.
        ExperimentalApiError: Something needs the capability.
    """
    known = CLIENT_METHODS.get(method)
    if known is None:
        raise UnknownMethodError(method)
    if params is UNSET or params is None:
        if known.params_rule == "required":
            raise InvalidParamsError(method, ["params are required, even when empty"])
    elif known.params is None:
        raise InvalidParamsError(method, ["takes no params"])
    elif not isinstance(params, Mapping):
        # The server would read an array as the fields in their order. Nobody should rely on it.
        raise InvalidParamsError(method, ["params are no object"])
    elif problems := findings(params, known.params):
        raise InvalidParamsError(method, [str(problem) for problem in problems])
    if not experimental_api and (descriptor := reason(method, params)) is not None:
        raise ExperimentalApiError(method, descriptor)


def request(
    request_id: RequestId, method: str, params: Any = UNSET, *, experimental_api: bool = False
) -> Request:
    """Return a checked request; see :func:`check` for what may be raised."""
    check(method, params, experimental_api=experimental_api)
    return Request(request_id, method, params)
