"""``exec-client cp``: files and trees between this machine and an executor."""

from __future__ import annotations

import errno
import os
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Final

from .connection import add_connection_arguments, with_executor
from .exit_codes import CommandError
from .printing import printable
from .remote_paths import REMOTE_HELP, remote_part
from .sandbox import add_sandbox_arguments, sandbox_of

if TYPE_CHECKING:
    from ..filesystem.filesystem import FileSystem
    from .messages import Messages
    from .progress import Show

__all__ = ["SUMMARY", "configure", "execute"]

SUMMARY: Final = "copy files to and from an executor"

_DESCRIPTION: Final = f"""\
Copy files, and with -r trees, between this machine and an executor, or on the executor.

{REMOTE_HELP}
An existing directory as the target gets the sources put into it. A file that is there is replaced
in one step, and keeps its permissions; a new one gets those of its source. Links in a tree are
made again; -L copies what they lead to. FIFOs, sockets and devices are left out.

A lost connection is resumed, and the file that was under way goes on where it stopped. A copy that
was broken off altogether is taken up by the same command with --resume.
"""

_EPILOG: Final = """\
examples:
  exec-client cp report.pdf :/srv/reports/
  exec-client cp -r src :                             # into the executor's own folder
  exec-client cp --url ws://127.0.0.1:8765 exec:/var/log/app.log .
  exec-client cp -r --resume :/srv/models models

exit codes: 0; 1 when something could not be copied or was left out, the rest has been copied; 125
when exec-client itself failed, a connection that was lost for good included.

On a terminal there is a line about the progress, and a bar with: pip install 'exec-client[cli]'.
"""

_UNITS: Final = {"K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


def configure(parser: ArgumentParser) -> None:
    """Add the arguments of ``cp``."""
    parser.description = _DESCRIPTION
    parser.epilog = _EPILOG
    add_connection_arguments(parser)
    add_sandbox_arguments(parser)
    parser.add_argument("-r", "--recursive", action="store_true", help="copy directories")
    parser.add_argument(
        "-L",
        "--dereference",
        action="store_true",
        help="in a tree, copy what links lead to, instead of making the links again",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="take up a copy that was broken off: leave out files that are complete (of the same "
        "size and time; uploads: no older than the source), go on with those that are not",
    )
    parser.add_argument(
        "--max-size",
        metavar="SIZE",
        type=_size,
        default=None,
        help="end a download of more bytes than that, of all files of a SOURCE together: a number, "
        "also with K, M, G or T (1024 each); default: 1T",
    )
    parser.add_argument("source", metavar="SOURCE", nargs="+")
    parser.add_argument("target", metavar="TARGET")


def _size(text: str) -> int:
    """Return a number of bytes, written with or without a unit."""
    unit = text[-1:].upper()
    number = text[:-1] if unit in _UNITS else text
    if not number.isdecimal():
        raise ValueError(text)
    return int(number) * _UNITS.get(unit, 1)


def execute(arguments: Namespace) -> int:
    """Copy."""
    sources = [(path, remote_part(path)) for path in arguments.source]
    target = remote_part(arguments.target)
    if target is None and any(remote is None for _, remote in sources):
        raise CommandError("nothing to do with an executor: write a path on it as :PATH")
    return with_executor(arguments, lambda: _copy(arguments, sources, target))


async def _copy(
    arguments: Namespace, sources: list[tuple[str, str | None]], target: str | None
) -> int:
    from .connection import open_client
    from .messages import Messages
    from .progress import show_progress

    messages = Messages(quiet=arguments.quiet)
    async with open_client(arguments) as client:
        from ..errors import ClientError

        fs = client.fs.with_sandbox(sandbox_of(arguments, client))
        async with show_progress(client, messages, quiet=arguments.quiet) as show:
            copier = _Copier(fs, arguments, messages, show)
            try:
                for local, remote in sources:
                    await copier.copy(local, remote, target)
            except ClientError as error:
                raise CommandError(f"{error}; the same command with --resume goes on") from error
    return int(copier.failed)


class _Copier:
    """Copies one source after the other, and remembers whether something failed."""

    def __init__(
        self, fs: FileSystem, arguments: Namespace, messages: Messages, show: Show
    ) -> None:
        self._fs = fs
        self._recursive: bool = arguments.recursive
        self._resume: bool = arguments.resume
        self._follow: bool = arguments.dereference
        self._limit = {} if arguments.max_size is None else {"max_bytes": arguments.max_size}
        self._here: str = arguments.target
        self._into_folder = len(arguments.source) > 1 or arguments.target.endswith("/")
        self._messages = messages
        self._show = show
        self.failed = False

    async def copy(self, local: str, remote: str | None, target: str | None) -> None:
        """Copy one source: ``local`` where ``remote`` is ``None``; the target likewise."""
        try:
            if target is None:
                await self._download(remote or "")
            elif remote is None:
                await self._upload(local, target)
            else:
                await self._copy_there(remote, target)
        except OSError as error:
            self._report(error)

    async def _upload(self, source: str, target: str) -> None:
        self._check_folder(_is_folder(source), source)
        result = await self._fs.upload(
            source,
            await self._inside(target, source),
            progress=self._show.progress,
            resume=self._resume,
            keep_partial=True,
            follow_symlinks=self._follow,
            on_error=self._report,
        )
        self._left_out(result.skipped)
        self._note(result.notes)

    async def _download(self, source: str) -> None:
        self._check_folder(await self._fs.is_dir(source), source)
        target = self._here
        if _is_folder(target):
            target = os.path.join(target, await self._name(source))
        elif self._into_folder:
            raise _no_folder(target)
        result = await self._fs.download(
            source,
            target,
            progress=self._show.progress,
            resume=self._resume,
            keep_partial=True,
            follow_symlinks=self._follow,
            on_error=self._report,
            **self._limit,
        )
        self._left_out(result.skipped)
        self._note(result.notes)

    async def _copy_there(self, source: str, target: str) -> None:
        self._check_folder(await self._fs.is_dir(source), source)
        into = await self._inside(target, await self._name(source))
        self._left_out(
            await self._fs.copy(
                source, into, recursive=self._recursive, follow_symlinks=self._follow
            )
        )

    async def _inside(self, target: str, source: str) -> str:
        """Return where a source goes: into the target where that is a directory."""
        if await self._fs.is_dir(target):
            return f"{target.rstrip('/')}/{_last_name(source)}"
        if self._into_folder:
            raise _no_folder(target)
        return target

    async def _name(self, source: str) -> str:
        """Return the last name of a path there; that of a folder such as ``.`` is looked up."""
        name = os.path.basename(source.rstrip("/"))
        if name in ("", ".", ".."):
            name = os.path.basename(await self._fs.realpath(source))
        return name

    def _check_folder(self, is_folder: bool, path: str) -> None:
        if is_folder and not self._recursive:
            raise IsADirectoryError(errno.EISDIR, "Is a directory, which -r copies", path)

    def _report(self, error: OSError) -> None:
        self.failed = True
        self._show.hide_for(
            lambda: self._messages.error(
                f"{printable(str(error.filename or '?'))}: {error.strerror}"
            )
        )

    def _left_out(self, paths: list[str]) -> None:
        def write() -> None:
            for path in paths:
                self._messages.error(
                    f"{printable(path)}: left out, it is no file, directory or link, or a link "
                    "into a circle"
                )

        if paths:
            self.failed = True
            self._show.hide_for(write)

    def _note(self, notes: list[str]) -> None:
        def write() -> None:
            for note in notes:
                self._messages.note(printable(note))

        if notes:
            self._show.hide_for(write)


def _is_folder(path: str) -> bool:
    return os.path.isdir(path)


def _last_name(path: str) -> str:
    return os.path.basename(os.path.abspath(path))


def _no_folder(path: str) -> NotADirectoryError:
    return NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
