"""One row of the method table, and what reads params by it."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast

from ._params import check_envelope, describe, read_params
from .capabilities import REFERENCE
from .errors import InvalidParamsError

if TYPE_CHECKING:
    from pydantic import ValidationError

    from ._model import WireModel

__all__ = ["Allowed", "Direction", "Family", "Method"]

P = TypeVar("P", bound="WireModel")
R = TypeVar("R", bound="WireModel | None")

Family = Literal[
    "handshake", "environment info", "environment status", "exec", "filesystem", "http"
]
"""What a method belongs to; servers name it when they refuse a call."""


class Direction(Enum):
    """Sender of a message."""

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
class Method(Generic[P, R]):
    """One request or notification of the wire; the type names its params and its result."""

    name: str
    kind: Literal["request", "notification"]
    direction: Direction
    family: Family
    allowed: Allowed
    module: str
    params_name: str
    result_name: str | None
    capability: str | None = None
    """What announces it; ``None`` when every executor of the reference has it."""
    repeatable: bool = False
    """Whether sending it again after a lost answer changes nothing, and answers the same."""
    takes_no_params: bool = False
    """Anything but nothing, null and an empty object is refused."""

    @property
    def extension(self) -> str | None:
        """The capability that announces it, when the reference implementation does not know it."""
        return None if self.capability in REFERENCE else self.capability

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
