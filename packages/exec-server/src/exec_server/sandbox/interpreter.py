"""Files of the running interpreter, which some of what runs inside needs."""

from __future__ import annotations

import os
import sys
import sysconfig
from functools import cache

__all__ = ["executable", "own_files", "site_packages"]


def executable() -> bytes:
    """Return the path of the running interpreter, without a virtual environment around it."""
    return os.fsencode(getattr(sys, "_base_executable", None) or sys.executable)


@cache
def own_files() -> tuple[bytes, ...]:
    """Return what the interpreter needs to start: executable, library, standard library."""
    found = [executable()]
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    found.append(os.fsencode(os.path.dirname(os.__file__)))
    found.append(os.fsencode(os.path.join(sys.base_exec_prefix, sys.platlibdir, version)))
    library = sysconfig.get_config_var("INSTSONAME")
    folder = sysconfig.get_config_var("LIBDIR")
    if sysconfig.get_config_var("Py_ENABLE_SHARED") and library and folder:
        found.append(os.path.join(os.fsencode(folder), os.fsencode(library)))
    return tuple(dict.fromkeys(path for path in found if os.path.exists(path)))


@cache
def site_packages() -> tuple[bytes, ...]:
    """Return the folders inside the standard library that hold other people's packages."""
    names = (b"site-packages", b"dist-packages")
    folders = [path for path in own_files() if os.path.isdir(path)]
    candidates = [os.path.join(folder, name) for folder in folders for name in names]
    return tuple(path for path in candidates if os.path.isdir(path))
