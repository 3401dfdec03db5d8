"""``initialize``, ``initialized`` and what an executor says about itself."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ._model import WireModel
from ._path_uri_field import WirePathUri
from ._scalars import SessionId

__all__ = [
    "EnvironmentInfo",
    "EnvironmentInfoParams",
    "EnvironmentStatusParams",
    "EnvironmentStatusResult",
    "EnvironmentUptimeParams",
    "EnvironmentUptimeResult",
    "InitializeParams",
    "InitializeResult",
    "InitializedNotification",
    "ShellInfo",
]


class InitializeParams(WireModel):
    """Opens a session, or resumes one."""

    client_name: str
    """Shown in logs. May be empty."""
    resume_session_id: str | None = None
    """A session to attach to again; ``None`` opens a new one."""
    catch_up: bool | None = Field(default=None, exclude_if=lambda value: value is None)
    """With ``resume_session_id``: send no event of a process before ``process/catchUp`` has told
    everything that was missed. Extension: ``processCatchUp``."""


class ShellInfo(WireModel):
    """The login shell of the user that the executor runs as, from the user database."""

    name: str
    path: str
    """Absolute native path."""


class EnvironmentInfo(WireModel):
    """Description of an executor by itself.

    Only ``shell`` is required on receive: older executors leave members out.
    """

    shell: ShellInfo
    executor_version: str = ""
    provider_id: str = ""
    cwd: WirePathUri | None = None
    """Working directory of the executor."""
    user_home_dir: WirePathUri | None = None
    platform_os: str = ""
    prepend_path_dirs: list[WirePathUri] = Field(default=[])
    temporary_directories: list[WirePathUri] = Field(default=[])
    """``$TMPDIR``, when it is set."""
    temp_dir: WirePathUri | None = None
    """``$TMPDIR``, else ``/tmp``."""
    capabilities: dict[str, Any] = Field(default={}, json_schema_extra={"x-values": "boolean"})
    """Flags by name. A missing flag means false."""

    def supports(self, capability: str) -> bool:
        """Return whether the executor announced ``capability``."""
        return self.capabilities.get(capability) is True


class InitializeResult(WireModel):
    """The session that the connection is attached to now."""

    session_id: SessionId
    environment_info: EnvironmentInfo | None = None
    """Absent from older executors; ask ``environment/info`` then."""


class InitializedNotification(WireModel):
    """The client has the answer to ``initialize``. Its params are ignored, whatever they are."""


class EnvironmentInfoParams(WireModel):
    """No members. Anything but an empty object, null or nothing is refused."""


class EnvironmentStatusParams(WireModel):
    """No members. Anything but an empty object, null or nothing is refused."""


class EnvironmentStatusResult(WireModel):
    """Status of the executor."""

    status: str
    """``ready``."""


class EnvironmentUptimeParams(WireModel):
    """No members. Anything but an empty object, null or nothing is refused. Extension."""


class EnvironmentUptimeResult(WireModel):
    """Time since the executor began to listen."""

    seconds: float
    """Since it began to listen, by a clock that nobody sets."""
