"""``http/request`` and the pieces of a streamed body."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ._model import WireModel
from ._scalars import Base64Bytes, ChosenName, UnsignedInt
from .capabilities import CAPABILITY_HTTP_CANCEL, CAPABILITY_HTTP_CREDIT
from .limits import HTTP_HEADERS_MAX

__all__ = [
    "CAPABILITY_HTTP_CANCEL",
    "CAPABILITY_HTTP_CREDIT",
    "HttpBodyDeltaNotification",
    "HttpHeader",
    "HttpRequestCancelParams",
    "HttpRequestCancelResult",
    "HttpRequestCreditParams",
    "HttpRequestCreditResult",
    "HttpRequestParams",
    "HttpRequestResult",
]


class HttpHeader(WireModel):
    """One header; names may repeat."""

    name: str
    value: str
    value_env_var: str | None = Field(default=None, exclude_if=lambda value: value is None)
    """A variable of the executor's environment that is appended to ``value``."""


class HttpRequestParams(WireModel):
    """Makes a request from the executor."""

    method: str
    url: str
    headers: list[HttpHeader] = Field(default=[], max_length=HTTP_HEADERS_MAX)
    body_base64: Base64Bytes | None = None
    timeout_ms: UnsignedInt | None = None
    """For the whole exchange, body included; ``None`` for no limit."""
    redirect_policy: Literal["follow", "stop"] = "follow"
    request_id: ChosenName
    """Names the stream of a streamed body."""
    stream_response: bool = False
    """Answer with the headers; the body follows as notifications."""
    stream_credit: UnsignedInt | None = Field(default=None, exclude_if=lambda value: value is None)
    """How many pieces of a streamed body may be sent before ``http/request/credit`` adds to it;
    ``None`` for as many as there are. The last piece, which carries no data, needs none."""


class HttpRequestResult(WireModel):
    """The response; the body is empty when it is streamed."""

    status: UnsignedInt
    headers: list[HttpHeader]
    body_base64: Base64Bytes


class HttpRequestCancelParams(WireModel):
    """Ends the requests of this connection that have an id; that there is none is fine."""

    request_id: ChosenName


class HttpRequestCancelResult(WireModel):
    """Nothing. What was ended says so itself: in its answer, or in its last piece."""


class HttpRequestCreditParams(WireModel):
    """Lets more pieces of a streamed body be sent; one that has ended needs none."""

    request_id: ChosenName
    pieces: UnsignedInt


class HttpRequestCreditResult(WireModel):
    """Nothing."""


class HttpBodyDeltaNotification(WireModel):
    """A piece of a streamed body."""

    request_id: str
    seq: UnsignedInt
    """From 1, without holes."""
    delta_base64: Base64Bytes
    done: bool
    """The last piece of the stream; it carries no data."""
    error: str | None = None
    """Why the body ends before it is complete."""
