"""Other processes: their environment, memory, descriptors."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator

from .common import SECRET, Site, check, libc, probe, system_call


def _processes() -> Iterator[int]:
    yield from (int(name) for name in os.listdir("/proc") if name.isdigit())


@probe("always")
def read_environments(site: Site) -> str | None:
    """Read the environment of every process there is."""
    for pid in _processes():
        with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
            if SECRET.encode() in file.read():
                return f"read the environment of process {pid}"
    return None


@probe("always")
def read_memory(site: Site) -> str | None:
    """Open the memory of the server."""
    with open(f"/proc/{site.server}/mem", "rb"):
        return "opened the server's memory"


@probe("always")
def trace_server(site: Site) -> str:
    """Attach to the server as a debugger does."""
    check(libc.ptrace(0x4206, site.server, 0, 0))  # PTRACE_SEIZE
    libc.ptrace(17, site.server, 0, 0)
    return "attached to the server"


@probe("always")
def copy_memory(site: Site) -> str:
    """Copy memory out of the server."""
    here = ctypes.create_string_buffer(1)

    class Piece(ctypes.Structure):
        _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))

    local = Piece(ctypes.addressof(here), 1)
    with open(f"/proc/{site.server}/maps", encoding="ascii") as file:
        start = int(file.readline().split("-")[0], 16)
    remote = Piece(start, 1)
    check(libc.process_vm_readv(site.server, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0))
    return "copied memory of the server"


@probe("always")
def signal_server(site: Site) -> str:
    """Send the server a signal, if only to see whether it is there."""
    os.kill(site.server, 0)
    return "the server can be signalled"


@probe("always")
def steal_descriptor(site: Site) -> str:
    """Take a descriptor of another process."""
    handle = os.pidfd_open(1 if site.server == os.getpid() else site.server)
    system_call(438, 438, handle, 0, 0)
    return "took a descriptor"


@probe("always")
def inherited_descriptors(site: Site) -> str | None:
    """Look for descriptors that lead out, here and in process 1."""
    for pid in ("self", "1"):
        folder = f"/proc/{pid}/fd"
        names: list[str] = []
        with contextlib.suppress(OSError):
            names = [name for name in os.listdir(folder) if int(name) > 2]
        for name in names:
            target = ""
            with contextlib.suppress(OSError):  # the one that was listing them
                target = os.readlink(f"{folder}/{name}")
            if target.startswith(("socket:", site.outside)) or "memfd" in target:
                return f"descriptor {name} of {pid} is {target}"
            with contextlib.suppress(OSError):
                os.close(os.open(f"{folder}/{name}/..{site.outside}/file", os.O_WRONLY))
                return f"descriptor {name} of {pid} leads out"
    return None


@probe("always")
def shared_memory(site: Site) -> str:
    """Attach shared memory of a process outside."""
    check(libc.shmget(site.shared, 0, 0))
    return "found shared memory"
