"""The import path of the program: without the folders that happen to be around.

``python -m`` puts the working directory first, and a console script its own folder. Both may be
where sandboxed commands write, and what is loaded with the first request of a kind would
come from there. Imported before anything else; who embeds a server keeps the path that it has.
"""

import os
import sys


def _is_ours() -> bool:
    name, arguments = "exec_server", sys.orig_argv
    module = "-m" in arguments and arguments[arguments.index("-m") + 1 :][:1] == [name]
    return module or os.path.basename(sys.argv[0]) == "exec-server"


def _own_package_is_in(folder: str) -> bool:
    return os.path.realpath(folder) == os.path.realpath(os.path.dirname(os.path.dirname(__file__)))


if _is_ours() and not sys.flags.safe_path and sys.path and not _own_package_is_in(sys.path[0]):
    del sys.path[0]
