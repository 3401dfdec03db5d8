"""An executor, as clients and environments have it in common: what it is asked, its files, HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exec_server_protocol._plain import EnvironmentInfoParams
from exec_server_protocol.methods import ENVIRONMENT_INFO, ENVIRONMENT_UPTIME, PROCESS_LIST

from .connection.answers import parse_answer
from .connection.calls import Caller, request
from .process.runner import Runner

if TYPE_CHECKING:
    from exec_server_protocol.handshake import EnvironmentInfo
    from exec_server_protocol.process import ProcessInfo

    from .filesystem import FileSystem
    from .http import Http
    from .session.session import Session

__all__ = ["Executor", "ask_info"]


async def ask_info(session: Caller, kind: type[EnvironmentInfo]) -> EnvironmentInfo:
    """Return what an executor says about itself, as the model or as its plain twin."""
    answer = await request(session, ENVIRONMENT_INFO, EnvironmentInfoParams())
    return parse_answer(kind, answer, ENVIRONMENT_INFO)


class Executor(Runner):
    """Asks an executor, by whichever session there is. Models are imported by who needs them."""

    async def _get_session(self) -> Session:
        raise NotImplementedError

    async def info(self) -> EnvironmentInfo:
        """Return what the executor says about itself now."""
        from exec_server_protocol.handshake import EnvironmentInfo

        return await ask_info(await self._get_session(), EnvironmentInfo)

    async def uptime(self) -> float:
        """Return for how many seconds the executor has listened.

        Raises:
            UnsupportedError: The executor cannot tell.
        """
        from exec_server_protocol.handshake import EnvironmentUptimeResult

        answer = await request(await self._get_session(), ENVIRONMENT_UPTIME)
        return parse_answer(EnvironmentUptimeResult, answer, ENVIRONMENT_UPTIME).seconds

    async def list_processes(self) -> list[ProcessInfo]:
        """Return the processes of the session, finished ones that are still readable included.

        Raises:
            UnsupportedError: The executor cannot list them.
        """
        from exec_server_protocol.process import ProcessListResult

        answer = await request(await self._get_session(), PROCESS_LIST)
        return parse_answer(ProcessListResult, answer, PROCESS_LIST).processes

    @property
    def fs(self) -> FileSystem:
        """The executor's files. Nothing connects before the first call."""
        from .filesystem import FileSystem

        return FileSystem(self._get_session)

    @property
    def http(self) -> Http:
        """HTTP requests that the executor makes. Nothing connects before the first one."""
        from .http import Http

        return Http(self._get_session)
