"""Objects of the wire for a program that is to end as soon as it can: without pydantic.

Each stands for the model of its name, and has of it ``model_validate``, ``to_wire``, ``to_json``,
the members, and making one from Python values. What is refused is a ``ShapeError`` and no
``ValidationError``; else it is the same, and type checkers see the model. Not for users: what
they get is a model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._checks import ShapeError
from ._params import record_class

if TYPE_CHECKING:
    from .handshake import EnvironmentInfo as EnvironmentInfo
    from .handshake import EnvironmentInfoParams as EnvironmentInfoParams
    from .handshake import InitializeParams as InitializeParams
    from .handshake import InitializeResult as InitializeResult
    from .http import HttpBodyDeltaNotification as HttpBodyDeltaNotification
    from .process import EnvironmentPolicy as EnvironmentPolicy
    from .process import ProcessCatchUpParams as ProcessCatchUpParams
    from .process import ProcessCatchUpResult as ProcessCatchUpResult
    from .process import ProcessCloseStdinParams as ProcessCloseStdinParams
    from .process import ProcessReadParams as ProcessReadParams
    from .process import ProcessReadResult as ProcessReadResult
    from .process import ProcessResizeParams as ProcessResizeParams
    from .process import ProcessSignalParams as ProcessSignalParams
    from .process import ProcessStartParams as ProcessStartParams
    from .process import ProcessStartResult as ProcessStartResult
    from .process import ProcessTerminateParams as ProcessTerminateParams
    from .process import ProcessWriteParams as ProcessWriteParams

__all__ = [
    "EnvironmentInfo",
    "EnvironmentInfoParams",
    "EnvironmentPolicy",
    "HttpBodyDeltaNotification",
    "InitializeParams",
    "InitializeResult",
    "ProcessCatchUpParams",
    "ProcessCatchUpResult",
    "ProcessCloseStdinParams",
    "ProcessReadParams",
    "ProcessReadResult",
    "ProcessResizeParams",
    "ProcessSignalParams",
    "ProcessStartParams",
    "ProcessStartResult",
    "ProcessTerminateParams",
    "ProcessWriteParams",
    "ShapeError",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    made = globals()[name] = record_class(name)
    return made
