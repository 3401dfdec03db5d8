"""What every test has: default signals, and coroutines that run under asyncio.

The shell or the runner that starts them may ignore signals. A job in the background of a script
ignores SIGINT, one under ``nohup`` SIGHUP, and so would every child of a test. Tests of the
packages run without those of the whole, and have this file in common.
"""

from __future__ import annotations

import signal

import pytest

for _number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM, signal.SIGCHLD):
    if signal.getsignal(_number) is signal.SIG_IGN:
        interrupt = _number == signal.SIGINT
        signal.signal(_number, signal.default_int_handler if interrupt else signal.SIG_DFL)


@pytest.fixture(scope="session", params=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """The event loop of tests that are coroutines; trio is there to be refused."""
    name: str = request.param
    return name
