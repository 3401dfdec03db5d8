"""Random policies, random changes outside, and accesses: a plain model is asked about each.

The model knows no mounts: it looks at the rules and at the disk. A file worker must do what it
says, exactly and at once. A command that runs may do less, and more for as long as a sandbox takes
to be mended; both are in SECURITY.md, and so is what is left out here: files that come to match a
pattern, what is put into a placeholder, and writable folders that are moved.
"""

from __future__ import annotations

import asyncio
import base64
import os
import random
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from exec_server.sandbox.errors import SandboxError
from exec_server.sandbox.mounter import can_mount
from exec_server.sandbox.placeholders import is_placeholder, looks_like_placeholder
from exec_server.sandbox.planning import plan_for_process
from exec_server_protocol.sandbox import PROTECTED_NAMES, SandboxContext
from exec_testkit.sandboxes import context, deny_glob, path, place
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireClient, WireError

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="needs bubblewrap"),
    pytest.mark.skipif(not can_mount(), reason="Linux older than 5.12 mends nothing"),
    pytest.mark.process,
    pytest.mark.slow,
    pytest.mark.timeout(3600),
]

NAMES = ("a", "b", "x.env", ".git")
PLACES = [*NAMES, *(f"{one}/{two}" for one in ("a", "b", ".git") for two in NAMES)]
FOLDERS = [".", "a", "b", ".git", "a/b", "b/a", "a/.git"]
STEPS_OF_A_POLICY = 25
MENDED_SECONDS = 20
COMMAND = """
echo ready
while read -r op where text; do
    case $op in
    read) text=$(cat "$1/$where") && echo "done $text" || echo refused ;;
    write) printf %s "$text" > "$1/$where" && echo "done $text" || echo refused ;;
    esac 2>/dev/null
done
"""


class Case:
    """A tree, a policy about it, and the model.

    Attributes:
        rules: Access by place, as the policy says.
        pattern: Whether files named ``*.env`` are denied, too.
        everything: Whether all else can be read.
    """

    def __init__(self, base: Path, rng: random.Random) -> None:
        self.base = base
        self.rng = rng
        count = rng.randint(1, 5)
        self.rules = {
            rng.choice([".", *PLACES]): rng.choice(["read", "write", "deny", "deny"])
            for _ in range(count)
        }
        for where, rule in list(self.rules.items()):
            if rule == "deny" and ".git" in where:  # what is put into a placeholder is seen
                del self.rules[where]
        self.rules.setdefault(".", rng.choice(["read", "write", "write"]))
        self.pattern = rng.random() < 0.3
        self.everything = rng.random() < 0.7
        for where in PLACES:
            if rng.random() < 0.7:
                self._make(where)

    def _make(self, where: str) -> None:
        target = self.base / where
        if target.exists() or not target.parent.is_dir():
            return
        if where in FOLDERS:
            target.mkdir()
        else:
            target.write_text("old")

    def policy(self) -> dict[str, Any]:
        entries = [place("root" if self.everything else "minimal")]
        entries += [path(self._at(where), access) for where, access in self.rules.items()]
        if self.pattern:
            entries.append(deny_glob(f"{self.base}/**/*.env"))
        return context(entries, cwd="/")

    def _at(self, where: str) -> Path:
        return self.base if where == "." else self.base / where

    # ------------------------------------------------------------------ the model

    def access(self, where: str) -> str | None:
        """What may be done at a place, by the rules and the disk of this moment."""
        is_file = self._is_there(where) and self._at(where).is_file()
        if self.pattern and where.endswith(".env") and is_file:
            return "deny"
        rules = {r: rule for r, rule in self.rules.items() if rule != "write" or self._is_there(r)}
        for kept, rule in self.rules.items():
            if rule != "write" and (first := self._first_missing(kept)) is not None:
                rules[first] = "deny"
        for root, rule in self.rules.items():
            if rule == "write" and self._at(root).is_dir():
                names = [name if root == "." else f"{root}/{name}" for name in PROTECTED_NAMES]
                for name in names:
                    if self.rules.get(name) != "write":
                        rules.setdefault(name, "read")
        access = "read" if self.everything else None
        names = where.split("/")
        for length in range(len(names) + 1):
            given = rules.get("/".join(names[:length]) or ".")
            if given is not None and not (given == "read" and access == "deny"):
                access = given
        return access

    def _is_there(self, where: str) -> bool:
        """Whether there is something, and not what a sandbox needs for mounting over it."""
        place = os.fsencode(self._at(where))
        try:
            return not is_placeholder(place, os.lstat(place))
        except OSError:
            return False

    def _first_missing(self, where: str) -> str | None:
        """The name that must not be made, so that what is missing stays missing."""
        names = where.split("/")
        upto = ["/".join(names[: length + 1]) for length in range(len(names))]
        return next((place for place in upto if not self._is_there(place)), None)

    def allows(self, op: str, where: str) -> bool:
        target = self.base / where
        if op == "read":
            return (
                self._is_there(where)
                and target.is_file()
                and self.access(where) in ("read", "write")
            )
        above = self._at(os.path.dirname(where) or ".")
        return (
            above.is_dir()
            and not target.is_dir()
            and self.access(where) == "write"
            and not self._is_moved_placeholder(target if target.exists() else above)
        )

    @staticmethod
    def _is_moved_placeholder(place: Path) -> bool:
        """Whether something has come to a writable place that was put elsewhere for a missing name.

        A change outside moves, links or copies these, too. Their mode goes along and lets nobody
        write; a folder keeps it when something is put into it.
        """
        return looks_like_placeholder(place.lstat())

    def has(self, where: str, text: str) -> bool:
        """Whether a text is in a file outside: inside there may be folders that are of memory."""
        target = self.base / where
        return target.is_file() and target.read_text() == text

    def refuses(self) -> bool:
        """Whether the policy cannot be enforced on this disk."""
        if any(
            rule != "write"
            and self._at(where).parent.is_file()
            and self._is_there(os.path.dirname(where) or ".")
            for where, rule in self.rules.items()
        ):
            return True  # nothing can keep a name from being made where there is no folder
        try:
            plan_for_process(SandboxContext.model_validate(self.policy()), cwd=b"/", env={})
        except SandboxError:
            return True
        return False

    # ------------------------------------------------------------------ changes outside

    def change(self) -> bool:
        """Change something. Returns whether a writable folder may have come to another place."""
        where = self.rng.choice(PLACES)
        target = self.base / where
        kind = self.rng.choice(["save", "save", "remove", "make", "move", "link", "again"])
        try:
            if kind == "save":
                new = self.base / "saved"
                new.write_text("saved")
                new.rename(target)
            elif kind == "remove":
                shutil.rmtree(target) if target.is_dir() else target.unlink()
            elif kind == "make":
                self._make(where)
            elif kind == "move":
                other = self.rng.choice(PLACES)
                target.rename(self.base / other)
                return any(
                    rule == "write" and r.startswith(where) for r, rule in self.rules.items()
                )
            elif kind == "link":
                os.link(target, self.base / self.rng.choice(PLACES))
            else:  # the same under the same name, but another entry of its folder
                aside = self.base / "aside"
                target.rename(aside)
                if aside.is_dir():
                    shutil.copytree(aside, target)
                    shutil.rmtree(aside)
                else:
                    os.link(aside, target)
                    aside.unlink()
        except OSError:
            pass  # there is nothing, or something else
        finally:
            for left in ("saved", "aside"):
                shutil.rmtree(self.base / left, ignore_errors=True)
                (self.base / left).unlink(missing_ok=True)
        return False


class Command:
    """A command that tries what it is told."""

    def __init__(self, client: WireClient, case: Case, name: str) -> None:
        self._client = client
        self._case = case
        self._name = name
        self._asked = 0

    async def start(self) -> None:
        argv = ["/bin/sh", "-c", COMMAND, "sh", str(self._case.base)]
        await self._client.start(self._name, argv, sandbox=self._case.policy(), pipeStdin=True)
        await self._client.output_until(b"ready\n")

    async def does(self, op: str, where: str) -> bool | None:
        """Whether it could; ``None`` when it has been ended."""
        self._asked += 1
        text = f"{self._name}-{self._asked}"
        line = base64.b64encode(f"{op} {where} {text}\n".encode()).decode()
        params = {"processId": self._name, "writeId": str(self._asked), "chunk": line}
        await self._client.call("process/write", params)
        while True:
            note = await self._client.notification()
            if note["params"].get("processId") != self._name:
                continue
            if note["method"] == "process/exited":
                return None
            if note["method"] == "process/output":
                word, _, found = base64.b64decode(note["params"]["chunk"]).decode().partition(" ")
                found = found.removesuffix("\n")
                return word == "done" and found != "" and self._case.has(where, found)

    async def end(self) -> None:
        await self._client.call("process/terminate", {"processId": self._name})


async def _worker_does(client: WireClient, case: Case, op: str, where: str) -> bool | None:
    """Whether a file request succeeds; ``None`` when the policy was refused."""
    text = os.urandom(8).hex()
    params: dict[str, Any] = {"path": (case.base / where).as_uri(), "sandbox": case.policy()}
    if op == "write":
        params["dataBase64"] = base64.b64encode(text.encode()).decode()
    try:
        answer = await client.call("fs/readFile" if op == "read" else "fs/writeFile", params)
    except WireError as error:
        return None if "sandbox policy" in str(error) else False
    if op == "write":
        return case.has(where, text)
    # What marks a missing name is empty. And what the worker has put into a folder that is of
    # memory, it reads again: that is in nobody's file.
    found = base64.b64decode(answer["dataBase64"])
    return found != b"" and case.has(where, found.decode())


async def _command_does_not(command: Command, case: Case, op: str, where: str) -> bool:
    """Wait until the command cannot do what it may not. Returns whether it still runs."""
    async with asyncio.timeout(MENDED_SECONDS):
        while True:
            # Patterns are about what there was when it started.
            allowed = case.allows(op, where) or (case.pattern and where.endswith(".env"))
            does = await command.does(op, where)
            if does is None:
                assert case.refuses(), "ended without need"
                return False
            if not does or allowed:
                return True


@asynccontextmanager
async def _client_of(server: ServerProcess) -> AsyncIterator[WireClient]:
    client = await WireClient.ready(server.url)
    yield client
    await client.close()


async def _try_policy(server: ServerProcess, case: Case, number: int, steps: int) -> None:
    async with _client_of(server) as files, _client_of(server) as commands:
        running: Command | None = None
        for step in range(steps):
            moved = case.change()
            if running is not None and moved:
                await running.end()
                running = None
            if running is None and not case.refuses():
                running = Command(commands, case, f"p{number}-{step}")
                try:
                    await running.start()
                except WireError:
                    running = None
            op, where = case.rng.choice(["read", "read", "write"]), case.rng.choice(PLACES)
            try:
                allowed = case.allows(op, where)
                does = await _worker_does(files, case, op, where)
                assert does in (allowed, None), f"a worker: {does}"
                if does is None:
                    assert case.refuses(), "a worker was refused without need"
                if running is not None and not await _command_does_not(running, case, op, where):
                    running = None
            except (AssertionError, TimeoutError) as error:
                told = f"{error}; policy {number}, step {step}: {op} {where}"
                raise AssertionError(f"{told} under {case.rules}, {case.pattern=}") from error
        if running is not None:
            await running.end()


async def test_nothing_is_possible_that_the_rules_and_the_disk_do_not_say(
    server: ServerProcess, site: Path, request: pytest.FixtureRequest
) -> None:
    steps = request.config.getoption("--changes")
    seed = request.config.getoption("--fault-seed")
    for number in range(-(-steps // STEPS_OF_A_POLICY)):
        base = site / f"ws/{number}"
        base.mkdir()
        case = Case(base, random.Random(f"{seed}-{number}"))
        await _try_policy(server, case, number, STEPS_OF_A_POLICY)
        shutil.rmtree(base, ignore_errors=True)
