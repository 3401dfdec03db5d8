"""Files: written outside, protected, denied."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct

from .common import Site, check, libc, probe, read, write


@probe("files")
def write_outside(site: Site) -> str:
    """Write a file outside the writable folder."""
    return write(f"{site.outside}/file")


@probe("files")
def write_with_dots(site: Site) -> str:
    """The same by ``..`` from inside."""
    return write(f"{site.root}/../{os.path.basename(site.outside)}/file")


@probe("files")
def write_through_link(site: Site) -> str:
    """The same through a link made inside."""
    os.symlink(site.outside, f"{site.root}/way-out")
    return write(f"{site.root}/way-out/file")


@probe("files")
def write_through_proc_root(site: Site) -> str:
    """The same through ``/proc/self/root`` and that of process 1."""
    with contextlib.suppress(OSError):
        return write(f"/proc/1/root{site.outside}/file")
    return write(f"/proc/self/root{site.outside}/file")


@probe("files")
def hard_link_outside(site: Site) -> str:
    """Make a hard link inside to a file outside, and write that."""
    os.link(f"{site.outside}/file", f"{site.root}/linked")
    return write(f"{site.root}/linked")


@probe("always")
def open_by_handle(site: Site) -> str:
    """Open a file outside by its handle, past all mounts."""
    handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0) + bytes(128))
    mount = ctypes.c_int()
    place = f"{site.outside}/file".encode()
    check(libc.name_to_handle_at(-100, place, handle, ctypes.byref(mount), 0))
    folder = os.open(site.root, os.O_RDONLY)
    descriptor = check(libc.open_by_handle_at(folder, handle, os.O_WRONLY | os.O_APPEND))
    os.write(descriptor, b"escaped\n")
    return "opened a file by its handle"


@probe("protected")
def write_protected(site: Site) -> str:
    """Write a hook of the repository."""
    return write(f"{site.root}/.git/hooks/pre-commit")


@probe("protected")
def create_protected(site: Site) -> str | None:
    """Make ``.codex`` with something in it, where there was none."""
    os.makedirs(f"{site.root}/.codex", exist_ok=True)
    return write(f"{site.root}/.codex/config.toml")


@probe("protected")
def replace_protected(site: Site) -> str:
    """Put another folder in the place of ``.git``."""
    os.rename(f"{site.root}/.git", f"{site.root}/was-git")
    os.mkdir(f"{site.root}/.git")
    return "replaced .git"


@probe("files")
def replace_root(site: Site) -> str:
    """Rename the writable folder, and make a link of its name."""
    os.rename(site.root, site.root + "-moved")
    os.symlink(site.outside, site.root)
    return "replaced the root"


@probe("denied")
def read_denied(site: Site) -> str | None:
    """Read a denied file and a file in a denied folder."""
    with contextlib.suppress(OSError):
        return read(f"{site.root}/denied/file")
    return read(f"{site.root}/sub/denied-file")


@probe("denied")
def open_up_denied(site: Site) -> str | None:
    """Change the mode of what is denied, then read it."""
    with contextlib.suppress(OSError):
        os.chmod(f"{site.root}/denied", 0o700)
        return read(f"{site.root}/denied/file")
    os.chmod(f"{site.root}/sub/denied-file", 0o600)
    return read(f"{site.root}/sub/denied-file")


@probe("denied")
def link_denied(site: Site) -> str | None:
    """Read a denied file by another name for it."""
    os.link(f"{site.root}/sub/denied-file", f"{site.root}/other-name")
    return read(f"{site.root}/other-name")


@probe("denied")
def move_above_denied(site: Site) -> str | None:
    """Rename the folder above a denied file, and read the file there."""
    os.rename(f"{site.root}/sub", f"{site.root}/sub2")
    return read(f"{site.root}/sub2/denied-file")


@probe("files")
def write_start_up_files(site: Site) -> str:
    """Write what a shell reads when it starts."""
    for path in (f"{site.home}/.profile", f"{site.home}/.bashrc", "/etc/profile.d/escape.sh"):
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.close(descriptor)
            return f"can write {path}"
    raise PermissionError


@probe("reading")
def read_outside(site: Site) -> str | None:
    """Read a file that the policy says nothing about."""
    return read(f"{site.outside}/file")


@probe("always")
def write_server_code(site: Site) -> str:
    """Open a file of the server's program for writing, also by another name for it."""
    other = f"{site.root}/code"
    with contextlib.suppress(OSError):
        os.link(__file__, other)
        os.close(os.open(other, os.O_WRONLY))
        return "can write the server's code by another name"
    os.close(os.open(__file__, os.O_WRONLY))
    return "can write the server's code"


@probe("always")
def replace_server_code(site: Site) -> str:
    """Put something beside the server's program, where it would be loaded from."""
    path = os.path.join(os.path.dirname(os.path.dirname(__file__)), "way-out")
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT))
    os.unlink(path)
    return "can add to the server's code"
