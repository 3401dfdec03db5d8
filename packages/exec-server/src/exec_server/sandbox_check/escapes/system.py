"""The kernel: its settings, devices, privileges, ways around the filter."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import mmap
import os
import platform
from collections.abc import Callable

from .common import Site, probe, read, system_call


def _writable_below(top: str, skip: Callable[[str], bool]) -> str | None:
    for folder, folders, files in os.walk(top):
        folders[:] = [name for name in folders if not skip(os.path.join(folder, name))]
        for name in files:
            path = os.path.join(folder, name)
            if os.path.islink(path) or skip(path):
                continue
            with contextlib.suppress(OSError):
                os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
                return path
    return None


@probe("always")
def write_kernel_settings(site: Site) -> str | None:
    """Open any setting of the kernel for writing, in ``/proc`` outside of processes."""

    def of_a_process(path: str) -> bool:
        return path.split("/")[2].isdigit() or path in ("/proc/self", "/proc/thread-self")

    path = _writable_below("/proc", of_a_process)
    return path and f"can write {path}"


@probe("always")
def write_devices_settings(site: Site) -> str | None:
    """Open any setting of the system for writing, in ``/sys``."""
    path = _writable_below("/sys", lambda path: False)
    return path and f"can write {path}"


@probe("always")
def make_device(site: Site) -> str:
    """Make the device of the memory."""
    os.mknod(f"{site.root}/memory", 0o600 | 0o020000, os.makedev(1, 1))
    return "made a device"


@probe("always")
def open_devices(site: Site) -> str | None:
    """Open any disk, memory or host terminal in ``/dev``."""
    for folder, _, names in os.walk("/dev"):
        for name in names:
            path = os.path.join(folder, name)
            kind = os.lstat(path).st_mode & 0o170000
            if kind == 0o060000 or name in ("mem", "kmem", "port", "kmsg", "fuse", "kvm", "net"):
                with contextlib.suppress(OSError):
                    os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
                    return f"opened {path}"
    return None


@probe("files")
def shared_memory_folder(site: Site) -> str | None:
    """Find what others keep in ``/dev/shm``, which is shown where ``/`` can be written."""
    path = f"/dev/shm/{site.shared}"  # noqa: S108
    return read(path)


@probe("always")
def gain_privileges(site: Site) -> str | None:
    """Run a setuid program, or find out that one would have its effect."""
    with open("/proc/self/status", encoding="ascii") as file:
        status = dict(line.split(":\t", 1) for line in file.read().splitlines() if ":\t" in line)
    if status["NoNewPrivs"].strip() != "1":
        return "setuid programs have their effect"
    if int(status["CapBnd"], 16) or int(status["CapEff"], 16):
        return "has capabilities"
    return None


@probe("always")
def type_into_terminal(site: Site) -> str:
    """Type something for whoever reads the terminal next."""
    terminal = os.open("/dev/tty", os.O_RDWR) if not os.isatty(0) else 0
    fcntl.ioctl(terminal, 0x5412, b"x")
    return "typed into the terminal"


@probe("always")
def io_uring(site: Site) -> str:
    """Set up the queue that does system calls past the filter."""
    system_call(425, 425, 1, ctypes.create_string_buffer(256))
    return "set up io_uring"


@probe("always")
def keyrings(site: Site) -> str:
    """Ask for the keys of the user's session."""
    system_call(250, 219, 0, -3, 0)
    return "has the session's keyring"


@probe("always")
def another_convention(site: Site) -> str:
    """Make a system call by the numbers of another convention."""
    if platform.machine() != "x86_64":
        raise PermissionError
    child = os.fork()
    if child == 0:
        # mov eax, 20; int 0x80; ret: getpid by the 32-bit numbers. Fatal where it is refused.
        page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        page.write(bytes.fromhex("b814000000cd80c3"))
        address = ctypes.addressof(ctypes.c_char.from_buffer(page))
        os._exit(0 if ctypes.CFUNCTYPE(ctypes.c_int)(address)() == os.getpid() else 1)
    if os.waitpid(child, 0)[1]:
        raise PermissionError
    return "32-bit system calls work"
