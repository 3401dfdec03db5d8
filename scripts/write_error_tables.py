"""Write the tables of exit codes and exceptions into the document that shows them.

    python scripts/write_error_tables.py            compare
    python scripts/write_error_tables.py --write    rewrite them

Both come from the code: the table of the program's exit codes, and the classes themselves.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Iterator
from pathlib import Path

import exec_client
import exec_client.environment
import exec_server_protocol
from exec_client.cli.exit_codes import EXIT_CODES, SIGNAL_BASE
from exec_client.filesystem import errors as file_errors
from exec_server_protocol.errors import ExecError

FILE = Path(__file__).parents[1] / "docs" / "errors.md"
MODULES = (exec_client, exec_client.environment, exec_server_protocol, file_errors)
COMMAND = "python scripts/write_error_tables.py --write"


def exit_codes() -> Iterator[str]:
    """Yield the lines of the table of exit codes."""
    yield "| exit code | exception | when |"
    yield "|---|---|---|"
    yield f"| 0 to 255 | | the command's own; {SIGNAL_BASE} + N when signal N ended it |"
    for row in EXIT_CODES:
        about = f", `about` is `{row.about!r}`" if row.about else ""
        yield f"| {row.code} | `{row.error}`{about} | {row.meaning} |"


def exceptions() -> Iterator[str]:
    """Yield the lines of the table of exceptions, each below the one that it is a kind of."""
    yield "| exception | also a | means |"
    yield "|---|---|---|"
    yield from _below(_public(), ExecError, 0)


def _public() -> set[type[ExecError]]:
    members = [getattr(module, name) for module in MODULES for name in module.__all__]
    public = {one for one in members if isinstance(one, type) and issubclass(one, ExecError)}
    for one in list(public):  # and what they are below, so that each has its place
        public |= {base for base in one.__mro__ if issubclass(base, ExecError)}
    return public


def _below(public: set[type[ExecError]], kind: type[ExecError], depth: int) -> Iterator[str]:
    plain = [
        base.__name__
        for base in kind.__bases__
        if getattr(builtins, base.__name__, None) is base and base is not Exception
    ]
    also = ", ".join(f"`{name}`" for name in plain)
    meaning = (kind.__doc__ or "").split("\n\n")[0].replace("\n", " ")
    meaning = " ".join(meaning.split()).replace("``", "`").replace("|", "\\|")
    yield f"| {'· ' * depth}`{kind.__name__}` | {also} | {meaning} |"
    for one in sorted(public, key=lambda one: one.__name__):
        ours = [base for base in one.__bases__ if issubclass(base, ExecError)]
        if ours and ours[0] is kind:
            yield from _below(public, one, depth + 1)


def document(text: str) -> str:
    """Return the text of the document with both tables as they should be."""
    for name, lines in (("exit codes", exit_codes()), ("exceptions", exceptions())):
        begin, end = f"<!-- {name}: generated -->\n", f"<!-- end of {name} -->\n"
        head, _, rest = text.partition(begin)
        tail = rest.partition(end)[2]
        text = head + begin + "\n".join(lines) + "\n" + end + tail
    return text


def main(arguments: list[str]) -> int:
    """Compare or write; returns the exit status."""
    found = FILE.read_text(encoding="utf-8")
    wanted = document(found)
    if arguments == ["--write"]:
        FILE.write_text(wanted, encoding="utf-8")
    elif found != wanted:
        print(f"{FILE.name} differs from the code: run {COMMAND}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
