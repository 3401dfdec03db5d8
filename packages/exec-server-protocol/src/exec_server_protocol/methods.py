"""The method registry: for each method its params, its result, who sends it, when it may come.

One table for both sides and for the schema export. Models are imported when a method is
first used, so that importing the table is cheap.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from ._params import check_envelope, describe, read_params
from .errors import InvalidParamsError

if TYPE_CHECKING:
    from pydantic import ValidationError

    from ._model import WireModel

__all__ = ["METHODS", "NOTIFICATIONS", "REQUESTS", "Allowed", "Direction", "Family", "Method"]

Family = Literal[
    "handshake", "environment info", "environment status", "exec", "filesystem", "http"
]
"""What a method belongs to; servers name it when they refuse a call."""


class Direction(Enum):
    """Who sends a message."""

    CLIENT_TO_SERVER = "client-to-server"
    SERVER_TO_CLIENT = "server-to-client"


class Allowed(Enum):
    """From when on a message may be sent."""

    BEFORE_INITIALIZE = "before-initialize"
    """Only on a connection that is attached to no session yet."""
    AFTER_INITIALIZE = "after-initialize"
    """Once the answer to ``initialize`` is out; ``initialized`` itself, and what servers send."""
    AFTER_INITIALIZED = "after-initialized"
    """Every other call."""


@dataclass(frozen=True)
class Method:
    """One request or notification of the wire."""

    name: str
    kind: Literal["request", "notification"]
    direction: Direction
    family: Family
    allowed: Allowed
    module: str
    params_name: str
    result_name: str | None
    extension: str | None = None
    """Capability that announces it, when the reference implementation does not know it."""
    takes_no_params: bool = False
    """Anything but nothing, null and an empty object is refused."""

    @cached_property
    def params(self) -> type[WireModel]:
        """The model of ``params``."""
        return self._model(self.params_name)

    @cached_property
    def result(self) -> type[WireModel] | None:
        """The model of ``result``; ``None`` for a notification."""
        return None if self.result_name is None else self._model(self.result_name)

    def _model(self, name: str) -> type[WireModel]:
        module = importlib.import_module(f"{__package__}.{self.module}")
        return cast("type[WireModel]", getattr(module, name))

    def decode_params(self, value: Any) -> WireModel:
        """Return the params of a message as a model.

        Args:
            value: The member as parsed: an object, an array that lists the members in their
                order, or ``None`` when it was absent.

        Raises:
            InvalidParamsError: The shape is wrong. The text names members and what was
                expected of them, never values.
        """
        model = self.params
        members = check_envelope(self, value, lambda: _positions(model))
        from pydantic import ValidationError  # loaded with the model

        try:
            return model.model_validate(members)
        except ValidationError as error:
            raise InvalidParamsError(describe(_problems(error))) from error

    def read_params(self, value: Any) -> Any:
        """Return the params of a message as a plain object with the members of the model.

        Accepts what ``decode_params`` accepts, and refuses in the same words, but loads
        neither the models nor pydantic: for servers, which start in half of the time.

        Args:
            value: As for ``decode_params``.

        Raises:
            InvalidParamsError: The shape is wrong.
        """
        return read_params(self, value)


def _positions(model: type[WireModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _problems(error: ValidationError) -> list[tuple[tuple[str | int, ...], str]]:
    problems = []
    for item in error.errors(include_url=False, include_context=True, include_input=False):
        cause = item.get("ctx", {}).get("error")
        what = str(cause) if item["type"] == "value_error" and cause else item["msg"]
        problems.append((item["loc"], what))
    return problems


def _request(
    name: str,
    family: Family,
    module: str,
    stem: str,
    *,
    allowed: Allowed = Allowed.AFTER_INITIALIZED,
    extension: str | None = None,
    takes_no_params: bool = False,
) -> Method:
    return Method(
        name,
        "request",
        Direction.CLIENT_TO_SERVER,
        family,
        allowed,
        module,
        f"{stem}Params",
        f"{stem}Result",
        extension,
        takes_no_params,
    )


def _event(
    name: str, family: Family, module: str, stem: str, *, extension: str | None = None
) -> Method:
    return Method(
        name,
        "notification",
        Direction.SERVER_TO_CLIENT,
        family,
        Allowed.AFTER_INITIALIZE,
        module,
        f"{stem}Notification",
        None,
        extension=extension,
    )


_ALL: Final = (
    _request(
        "initialize",
        "handshake",
        "handshake",
        "Initialize",
        allowed=Allowed.BEFORE_INITIALIZE,
    ),
    Method(
        "initialized",
        "notification",
        Direction.CLIENT_TO_SERVER,
        "handshake",
        Allowed.AFTER_INITIALIZE,
        "handshake",
        "InitializedNotification",
        None,
    ),
    Method(
        "environment/info",
        "request",
        Direction.CLIENT_TO_SERVER,
        "environment info",
        Allowed.AFTER_INITIALIZED,
        "handshake",
        "EnvironmentInfoParams",
        "EnvironmentInfo",
        takes_no_params=True,
    ),
    _request(
        "environment/status",
        "environment status",
        "handshake",
        "EnvironmentStatus",
        takes_no_params=True,
    ),
    _request("process/start", "exec", "process", "ProcessStart"),
    _request("process/read", "exec", "process", "ProcessRead"),
    _request("process/catchUp", "exec", "process", "ProcessCatchUp", extension="processCatchUp"),
    _request("process/write", "exec", "process", "ProcessWrite"),
    _request(
        "process/closeStdin",
        "exec",
        "process",
        "ProcessCloseStdin",
        extension="processCloseStdin",
    ),
    _request("process/resize", "exec", "process", "ProcessResize", extension="processResize"),
    _request("process/signal", "exec", "process", "ProcessSignal"),
    _request("process/terminate", "exec", "process", "ProcessTerminate"),
    _request(
        "process/list",
        "exec",
        "process",
        "ProcessList",
        extension="processList",
        takes_no_params=True,
    ),
    _event("process/output", "exec", "process", "ProcessOutput"),
    _event("process/exited", "exec", "process", "ProcessExited"),
    _event("process/closed", "exec", "process", "ProcessClosed"),
    _event(
        "process/streamEnded",
        "exec",
        "process_details",
        "ProcessStreamEnded",
        extension="processDetails",
    ),
    _request("fs/readFile", "filesystem", "filesystem", "FsReadFile"),
    _request("fs/writeFile", "filesystem", "filesystem", "FsWriteFile"),
    _request("fs/createDirectory", "filesystem", "filesystem", "FsCreateDirectory"),
    _request("fs/getMetadata", "filesystem", "filesystem", "FsGetMetadata"),
    _request("fs/canonicalize", "filesystem", "filesystem", "FsCanonicalize"),
    _request("fs/readDirectory", "filesystem", "filesystem", "FsReadDirectory"),
    _request("fs/walk", "filesystem", "filesystem", "FsWalk"),
    _request("fs/remove", "filesystem", "filesystem", "FsRemove"),
    _request("fs/copy", "filesystem", "filesystem", "FsCopy"),
    _request("fs/move", "filesystem", "filesystem", "FsMove", extension="fsMove"),
    _request(
        "fs/setMetadata", "filesystem", "attributes", "FsSetMetadata", extension="fsFileModes"
    ),
    _request(
        "fs/createSymlink", "filesystem", "attributes", "FsCreateSymlink", extension="fsLinks"
    ),
    _request("fs/readLink", "filesystem", "attributes", "FsReadLink", extension="fsLinks"),
    _request("fs/open", "filesystem", "filesystem", "FsOpen"),
    _request("fs/readBlock", "filesystem", "filesystem", "FsReadBlock"),
    _request("fs/writeBlock", "filesystem", "filesystem", "FsWriteBlock"),
    _request("fs/close", "filesystem", "filesystem", "FsClose"),
    _request("fs/watchMissing", "filesystem", "filesystem", "FsWatchMissing"),
    _event("fs/missingChanged", "filesystem", "filesystem", "FsMissingChanged"),
    _request("http/request", "http", "http", "HttpRequest"),
    _request(
        "http/request/cancel",
        "http",
        "http",
        "HttpRequestCancel",
        extension="httpRequestCancel",
    ),
    _request(
        "http/request/credit",
        "http",
        "http",
        "HttpRequestCredit",
        extension="httpStreamCredit",
    ),
    _event("http/request/bodyDelta", "http", "http", "HttpBodyDelta"),
)

METHODS: Final[Mapping[str, Method]] = {method.name: method for method in _ALL}
"""Every method, by name."""

REQUESTS: Final[Mapping[str, Method]] = {m.name: m for m in _ALL if m.kind == "request"}
"""The requests that a server answers, by name."""

NOTIFICATIONS: Final[Mapping[str, Method]] = {m.name: m for m in _ALL if m.kind == "notification"}
"""The notifications of both directions, by name."""
