"""Namespaces of our own, in which we may mount."""

from __future__ import annotations

import contextlib
import os
from typing import Final

from .common import Site, check, libc, probe, read, write

_NEW_USER: Final = 0x10000000
_NEW_MOUNT: Final = 0x00020000
_NEW_PID: Final = 0x20000000
_BIND: Final = 4096
_REMOUNT: Final = 32


def _become_root_of_a_namespace(more: int = 0) -> None:
    user, group = os.getuid(), os.getgid()
    check(libc.unshare(_NEW_USER | _NEW_MOUNT | more))
    maps = {"setgroups": "deny", "uid_map": f"0 {user} 1", "gid_map": f"0 {group} 1"}
    for name, text in maps.items():
        with contextlib.suppress(OSError):
            descriptor = os.open(f"/proc/self/{name}", os.O_WRONLY)
            os.write(descriptor, text.encode())
            os.close(descriptor)


def _mount(source: str, target: str, kind: str | None, flags: int) -> None:
    name = None if kind is None else kind.encode()
    check(libc.mount(source.encode(), target.encode(), name, flags, None))


@probe("denied")
def unmount_in_namespace(site: Site) -> str | None:
    """As root of a namespace of our own, take the mask off what is denied."""
    _become_root_of_a_namespace()
    check(libc.umount2(f"{site.root}/denied".encode(), 2))
    return read(f"{site.root}/denied/file")


@probe("files")
def remount_in_namespace(site: Site) -> str:
    """The same, and mount everything writable."""
    _become_root_of_a_namespace()
    _mount("none", "/", None, _REMOUNT | _BIND)
    return write(f"{site.outside}/file")


@probe("denied")
def look_below_mounts(site: Site) -> str | None:
    """The same, and look at the folder without what is mounted in it."""
    _become_root_of_a_namespace()
    os.makedirs(f"{site.root}/view", exist_ok=True)
    _mount(site.root, f"{site.root}/view", None, _BIND)
    return read(f"{site.root}/view/denied/file")


@probe("always")
def mount_proc_in_namespace(site: Site) -> str:
    """The same, and mount a process folder whose settings can be written."""
    _become_root_of_a_namespace(_NEW_PID)
    child = os.fork()
    if child == 0:
        try:
            os.makedirs(f"{site.root}/proc", exist_ok=True)
            _mount("proc", f"{site.root}/proc", "proc", 0)
            os.close(os.open(f"{site.root}/proc/sys/kernel/core_pattern", os.O_WRONLY))
        except OSError:
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        raise PermissionError
    return "can write the kernel's settings"


@probe("always")
def receive_mounts(site: Site) -> str | None:
    """Find a mount under which those that are made outside later appear."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
        text = file.read()
    return "receives mounts" if " shared:" in text or " master:" in text else None


@probe("files")
def leave_chroot(site: Site) -> str:
    """Leave a root folder of our own by one that is open outside it."""
    with contextlib.suppress(OSError):
        _become_root_of_a_namespace()
    outer = os.open("/", os.O_RDONLY)
    os.chroot(site.root)
    os.fchdir(outer)
    for _ in range(32):
        os.chdir("..")
    return write("." + site.outside + "/file")
