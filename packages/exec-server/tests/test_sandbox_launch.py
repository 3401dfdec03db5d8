"""Launching with the real bubblewrap, and what stops a launch."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from exec_server.launching import confined
from exec_server.launching.launch import Launch, prepare
from exec_server.sandbox import verify
from exec_server.sandbox.bubblewrap import find_bubblewrap
from exec_server.sandbox.errors import (
    PolicyNotEnforceableError,
    SandboxError,
    SandboxUnavailableError,
)
from exec_server.sandbox.interpreter import own_files
from exec_server.sandbox.mounter import is_shared
from exec_server.sandbox.plan import Plan
from exec_server.sandbox.planning import NO_SANDBOX, plan_for_files, plan_for_process
from exec_server.sandbox.verify import parse_mounts
from exec_server_protocol.sandbox import SandboxContext
from exec_testkit.sandboxes import deny_glob, path, read_only, restricted_read, workspace_write

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="needs bubblewrap"),
    pytest.mark.process,
]

ENV = {b"PATH": b"/usr/local/bin:/usr/bin:/bin"}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    base = Path(os.path.realpath(tmp_path))
    (base / "ws/sub").mkdir(parents=True)
    (base / "out").mkdir()
    (base / "out/secret").write_text("secret")
    return base


def process_plan(wire: dict[str, Any], cwd: Path, *, staged: bool = False) -> Plan:
    context = SandboxContext.model_validate(wire)
    return plan_for_process(context, cwd=os.fsencode(cwd), env=ENV, staged=staged)


class Run:
    """One launch of a shell script, step by step."""

    def __init__(
        self,
        plan: Plan,
        script: str,
        cwd: Path,
        between: Callable[[], object] = lambda: None,
        **members: Any,
    ) -> None:
        argv = [b"/bin/sh", b"-c", script.encode()]
        self.launch: Launch = prepare(plan, argv, env=ENV, cwd=os.fsencode(cwd), **members)
        between()
        self.popen = subprocess.Popen(
            self.launch.argv,
            executable=self.launch.executable,
            env=self.launch.env,
            cwd=self.launch.cwd,
            pass_fds=self.launch.pass_fds,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.launch.spawned()

    def finish(self) -> tuple[int, str]:
        output = self.popen.communicate(timeout=20)[0].decode()
        return self.launch.exit_code(self.popen.returncode), output

    def close(self) -> None:
        if self.popen.poll() is None:
            os.killpg(self.popen.pid, signal.SIGKILL)
            self.popen.communicate()
        elif self.popen.stdout is not None:
            self.popen.stdout.close()
        self.launch.close()


def run(plan: Plan, script: str, cwd: Path, **members: Any) -> tuple[int, str]:
    one = Run(plan, script, cwd, **members)
    try:
        one.launch.admit()
        return one.finish()
    finally:
        one.close()


@pytest.fixture
def waiting(site: Path) -> Iterator[Run]:
    """A launch that has not been admitted yet."""
    plan = process_plan(workspace_write(site / "ws"), site)
    one = Run(plan, f"touch {site}/ws/ran; echo ran", site)
    yield one
    one.close()


def test_nothing_runs_before_it_is_admitted(waiting: Run, site: Path) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.popen.wait(0.3)
    assert not (site / "ws/ran").exists()
    waiting.launch.admit()
    assert waiting.finish() == (0, "ran\n")
    assert (site / "ws/ran").exists()


def test_what_is_killed_before_it_is_admitted_never_runs(waiting: Run, site: Path) -> None:
    os.killpg(waiting.popen.pid, signal.SIGKILL)
    waiting.launch.close()
    waiting.popen.wait(10)
    assert not (site / "ws/ran").exists()


def test_a_command_whose_launcher_dies_never_runs(site: Path) -> None:
    code = f"""
import os, subprocess, sys, time
from exec_server.sandbox.planning import plan_for_process
from exec_server.launching.launch import prepare
from exec_server_protocol.sandbox import SandboxContext
from exec_testkit.sandboxes import workspace_write
context = SandboxContext.model_validate(workspace_write({str(site / "ws")!r}))
plan = plan_for_process(context, cwd=b"/", env={{}})
argv = [b"/bin/sh", b"-c", b"touch {site}/ws/ran"]
launch = prepare(plan, argv, env={{}}, cwd=b"/")
popen = subprocess.Popen(launch.argv, executable=launch.executable, env={{}},
                         pass_fds=launch.pass_fds, start_new_session=True)
launch.spawned()
launch._gate.wait_until_set_up(time.monotonic() + 10)
os.kill(os.getpid(), 9)
"""
    # Returns when nobody holds the streams any more, bubblewrap included.
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=False, timeout=20
    )
    assert done.returncode == -9
    assert not (site / "ws/ran").exists()


def attempt(plan: Plan, site: Path, swap: Callable[[], object], when: str) -> None:
    """Launch something, and swap what it is made from before or after it is prepared."""
    script = f"touch {site}/ws/ran {site}/out/ran"
    if when == "before":
        swap()
        swap = bool
    one = Run(plan, script, site, between=swap)
    try:
        one.launch.admit()
        one.finish()
    finally:
        one.close()


def never_runs(plan: Plan, site: Path, swap: Callable[[], object], when: str) -> None:
    """Show that such a launch is given up."""
    with pytest.raises(SandboxError):
        attempt(plan, site, swap, when)
    assert not list(site.rglob("ran"))
    assert os.listdir(site / "out") == ["secret"]


WHEN = pytest.mark.parametrize("when", ["before", "after"])


@WHEN
@pytest.mark.parametrize("target", ["old", "out"])
def test_a_root_that_is_swapped_for_a_link_between_plan_and_mount_is_never_used(
    site: Path, target: str, when: str
) -> None:
    def swap() -> None:
        (site / "ws").rename(site / "old")
        (site / "ws").symlink_to(target)

    never_runs(process_plan(workspace_write(site / "ws"), site), site, swap, when)


@WHEN
def test_a_folder_that_takes_the_place_of_a_planned_root_is_never_written(
    site: Path, when: str
) -> None:
    def swap() -> None:
        (site / "ws").rename(site / "old")
        (site / "ws").mkdir()

    # One that was open already is mounted where it was planned, whatever is there now.
    with contextlib.suppress(SandboxError):
        attempt(process_plan(workspace_write(site / "ws"), site), site, swap, when)
    assert os.listdir(site / "ws") == []
    assert os.listdir(site / "out") == ["secret"]


@WHEN
def test_a_protected_folder_that_is_swapped_for_a_link_is_noticed(site: Path, when: str) -> None:
    def swap() -> None:
        (site / "ws/.git").rename(site / "ws/moved")
        (site / "ws/.git").symlink_to("moved")

    (site / "ws/.git").mkdir()
    never_runs(process_plan(workspace_write(site / "ws"), site), site, swap, when)


@WHEN
def test_a_folder_on_the_way_that_is_swapped_for_a_link_is_noticed(site: Path, when: str) -> None:
    def swap() -> None:
        (site / "ws/sub").rename(site / "ws/moved")
        (site / "ws/sub").symlink_to("decoy")

    (site / "ws/sub/keep").mkdir()
    (site / "ws/decoy/keep").mkdir(parents=True)
    entries = [path(site / "ws/sub/keep", "read")]
    never_runs(process_plan(workspace_write(site / "ws", *entries), site), site, swap, when)


def test_an_old_bubblewrap_is_held_to_the_plan_as_well(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = find_bubblewrap()
    monkeypatch.setattr(confined, "find_bubblewrap", lambda: replace(found, version=(0, 8, 0)))

    def swap() -> None:
        (site / "ws").rename(site / "old")
        (site / "ws").symlink_to("old")

    plan = process_plan(workspace_write(site / "ws"), site)
    assert run(plan, f"touch {site}/ws/made", site) == (0, "")
    (site / "ws/made").unlink()
    never_runs(plan, site, swap, "after")


def test_something_real_that_appears_where_a_mask_belongs_stops_the_launch(site: Path) -> None:
    plan = process_plan(workspace_write(site / "ws"), site)
    (site / "ws/.git").mkdir()
    with pytest.raises(PolicyNotEnforceableError, match="appears"):
        Run(plan, "true", site)
    assert sorted(os.listdir(site / "ws")) == [".git", "sub"]


def test_masks_are_taken_away_when_the_last_sandbox_has_ended(site: Path) -> None:
    plan = process_plan(workspace_write(site / "ws"), site)
    first, second = Run(plan, "true", site), Run(plan, "true", site)
    assert set(os.listdir(site / "ws")) == {".git", ".agents", ".codex", ".aws", "sub"}
    for one in (first, second):
        one.launch.admit()
        assert one.finish()[0] == 0
        assert (site / "ws/.git").is_dir()
        one.close()
        one.close()
    assert os.listdir(site / "ws") == ["sub"]


def test_a_hidden_folder_gives_way_to_the_root_as_working_directory(site: Path) -> None:
    plan = process_plan(restricted_read(site / "ws"), site)
    assert run(plan, "pwd", site / "out") == (0, "/\n")
    assert run(plan, "pwd", site / "ws/sub") == (0, f"{site}/ws/sub\n")
    denied = process_plan(workspace_write(site / "ws", path(site / "out", "deny")), site)
    assert run(denied, "pwd", site / "out") == (0, "/\n")


def test_a_program_that_does_not_exist_inside_exits_with_101(site: Path) -> None:
    plan = process_plan(restricted_read(site / "ws"), site)
    assert run(plan, "exec /no/such/program", site)[0] == 127
    launch = prepare(plan, [b"/no/such/program"], env=ENV, cwd=b"/")
    popen = subprocess.Popen(
        launch.argv,
        executable=launch.executable,
        env=launch.env,
        pass_fds=launch.pass_fds,
        stderr=subprocess.PIPE,
    )
    launch.spawned()
    launch.admit()
    assert b"/no/such/program" in popen.communicate()[1]
    assert launch.exit_code(popen.returncode) == 101
    launch.close()


@pytest.mark.parametrize("code", [0, 1, 7, 101])
def test_a_command_s_own_exit_code_is_told(site: Path, code: int) -> None:
    plan = process_plan(read_only(site / "ws"), site)
    assert run(plan, f"exit {code}", site) == (code, "")


def test_bubblewrap_itself_never_sees_the_command_s_environment(site: Path) -> None:
    plan = process_plan(read_only(site / "ws"), site)
    env = {**ENV, b"LD_PRELOAD": os.fsencode(site / "ws/evil.so"), b"A=B": b"C"}
    launch = prepare(plan, [b"/bin/sh", b"-c", b"env"], env=env, cwd=b"/")
    try:
        assert launch.env == {}
        assert not any(b"evil" in argument for argument in launch.argv)
    finally:
        launch.close()


def test_the_command_gets_exactly_its_environment(site: Path) -> None:
    plan = process_plan(read_only(site / "ws"), site)
    output = run(plan, "env", site)[1]
    found = {line for line in output.splitlines() if not line.startswith(("_=", "SHLVL="))}
    assert found == {f"PATH={ENV[b'PATH'].decode()}", f"PWD={site}"}


def test_no_descriptor_is_left_open_inside(site: Path) -> None:
    (site / "ws/a.env").write_text("")
    plan = process_plan(workspace_write(site / "ws", deny_glob(f"{site}/ws/*.env")), site)
    code, output = run(plan, "for fd in /proc/self/fd/*; do echo ${fd##*/}; done", site)
    assert code == 0
    assert set(output.split()) <= {"0", "1", "2", "3"}  # 3 is the shell reading that folder


def test_a_name_can_be_given_to_a_command(site: Path) -> None:
    plan = process_plan(restricted_read(site / "ws"), site, staged=True)
    assert run(plan, "echo $0", site, arg0=b"other name") == (0, "other name\n")


def test_an_old_bubblewrap_gets_help_with_names(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = find_bubblewrap()
    monkeypatch.setattr(confined, "find_bubblewrap", lambda: replace(found, version=(0, 8, 0)))
    plan = process_plan(restricted_read(site / "ws"), site, staged=True)
    assert run(plan, "echo $0", site, arg0=b"other name") == (0, "other name\n")


def test_bubblewrap_that_cannot_set_up_is_an_error(site: Path) -> None:
    plan = process_plan(read_only(site / "ws"), site)
    one = Run(plan, "true", site)
    one.popen.kill()
    with pytest.raises(SandboxUnavailableError, match="could not set up"):
        one.launch.admit()
    one.close()


def test_waiting_for_bubblewrap_has_an_end(site: Path) -> None:
    plan = process_plan(read_only(site / "ws"), site)
    launch = prepare(plan, [b"/bin/true"], env=ENV, cwd=b"/")
    with pytest.raises(SandboxUnavailableError, match="too long"):
        launch.admit(timeout=0.05)
    launch.close()


def test_a_program_that_only_claims_to_be_bubblewrap_is_not_trusted(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    impostor = site / "bwrap"
    impostor.write_text(
        f"#!{sys.executable}\n"
        "import os, sys, time\n"
        "if '--version' in sys.argv: print('bubblewrap 9.9.9'); sys.exit()\n"
        "told = os.read(int(sys.argv[2]), 99999).split(b'\\0')\n"
        "value = lambda name: int(told[told.index(name) + 1])\n"
        "os.close(value(b'--block-fd'))\n"
        "os.write(value(b'--json-status-fd'), b'{\"child-pid\": %d}\\n' % os.getpid())\n"
        "os.read(value(b'--seccomp'), 1)\n"
        "time.sleep(60)\n"
    )
    impostor.chmod(0o755)
    monkeypatch.setenv("PATH", f"{site}:{os.environ['PATH']}")
    plan = process_plan(read_only(site / "ws"), site)
    one = Run(plan, "true", site)
    with pytest.raises(SandboxUnavailableError, match="namespace"):
        one.launch.admit()
    one.close()


def test_a_worker_sees_its_own_files_and_nothing_beside_them(site: Path) -> None:
    (site / "out/helper.py").write_text("")
    context = SandboxContext.model_validate(restricted_read(site / "ws"))
    files = [os.fsencode(site / "out/helper.py"), *own_files()]
    plan = plan_for_files(context, tmpdir=None, helper_files=files)
    code, output = run(plan, f"ls {site}/out {site}", site)
    assert (code, output.split()) == (0, [f"{site}:", "out", "ws", f"{site}/out:", "helper.py"])


def test_a_worker_without_confinement_needs_no_plan() -> None:
    for wire in (SandboxContext.disabled(), SandboxContext.external(), None):
        assert plan_for_files(wire, tmpdir=None, helper_files=[]) is NO_SANDBOX


def test_a_direct_launch_is_what_it_was_given() -> None:
    launch = prepare(None, [b"/bin/echo", b"x"], env=ENV, cwd=b"/", arg0=b"name")
    assert (launch.argv, launch.executable) == ([b"name", b"x"], b"/bin/echo")
    assert not launch.confined
    launch.admit()
    assert not launch.signal(2)
    assert launch.exit_code(1) == 1
    launch.close()


def test_mount_points_are_unescaped() -> None:
    line = rb"36 35 98:0 / /a\040b\134c ro,nosuid master:1 - ext4 /dev/root rw" + b"\n"
    (found,) = parse_mounts(line).items()
    assert found[0] == 36
    assert (found[1].point, found[1].kind) == (b"/a b\\c", b"ext4")
    assert b"ro" in found[1].flags


def test_a_place_with_a_strange_name_can_be_a_root(site: Path) -> None:
    root = site / "a b\\c\n\u00e9"
    root.mkdir()
    from exec_server_protocol.path_uri import PathUri

    wire = workspace_write(site / "ws")
    wire["workspaceRoots"] = [str(PathUri.from_native(os.fsencode(root)))]
    plan = process_plan(wire, site)
    assert run(plan, "touch made", root) == (0, "")
    assert (root / "made").exists()


def test_verifying_a_process_outside_any_sandbox_fails(site: Path) -> None:
    plan = process_plan(read_only(site / "ws"), site)
    with pytest.raises(SandboxUnavailableError, match="has not made a pid namespace"):
        verify.verify(plan, os.getpid())
    with pytest.raises(SandboxUnavailableError, match="cannot examine"):
        verify.verify(plan, 2**22 + 1)


@pytest.mark.parametrize("kernel", ["new", "old"])
def test_signals_reach_the_command_and_not_bubblewrap(
    site: Path, kernel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kernel == "old":  # before 6.9 the group of a pidfd could not be signalled
        real = signal.pidfd_send_signal

        def send(pidfd: int, number: int, info: None = None, flags: int = 0) -> None:
            if flags:
                raise OSError(errno.EINVAL, "")
            real(pidfd, number, info, flags)

        monkeypatch.setattr(signal, "pidfd_send_signal", send)
    script = f"trap 'exit 9' INT; touch {site}/ws/ready; while :; do sleep 0.02; done"
    one = Run(process_plan(workspace_write(site / "ws"), site), script, site)
    try:
        assert not one.launch.signal(signal.SIGINT)
        one.launch.admit()
        while not (site / "ws/ready").exists():
            assert one.popen.poll() is None
        assert one.launch.signal(signal.SIGINT)
        assert one.finish()[0] == 9
    finally:
        one.close()
    assert not one.launch.signal(signal.SIGINT)


@pytest.mark.parametrize("wire", [read_only("/"), SandboxContext.external().to_wire()])
def test_systems_without_bubblewrap_confine_nothing_and_run_nothing(
    site: Path, wire: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(SandboxUnavailableError, match="need Linux"):
        Run(process_plan(wire, site), f"touch {site}/ran", site)
    assert not (site / "ran").exists()
    disabled = SandboxContext.disabled().to_wire()
    assert process_plan(disabled, site) is NO_SANDBOX
    assert run(NO_SANDBOX, "exit 3", site) == (3, "")


def test_closing_ends_what_still_runs_inside_before_marks_are_taken_away(site: Path) -> None:
    one = Run(process_plan(workspace_write(site / "ws"), site), "exec sleep 60", site)
    one.launch.admit()
    one.launch.close()
    assert one.popen.wait(10) != 0
    assert os.listdir(site / "ws") == ["sub"]
    one.close()


@pytest.mark.skipif(not is_shared(), reason="nothing that is mounted here is shared")
def test_a_sandbox_that_would_receive_mounts_from_outside_runs_nothing(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confined, "is_shared", lambda: False)
    with pytest.raises(SandboxUnavailableError, match="would appear in a sandbox"):
        run(process_plan(read_only(site / "ws"), site), f"touch {site}/ran", site)
    assert not (site / "ran").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_what_was_mounted_outside_while_a_sandbox_was_set_up_is_noticed(site: Path) -> None:
    # It comes with the rights that it has outside: it can be written, where nothing should be.
    wire = read_only(site / "ws")
    code = f"""
import pathlib, subprocess, sys
sys.path.insert(0, {os.path.dirname(__file__)!r})
import test_sandbox_launch as t
site = pathlib.Path({os.fspath(site)!r})
make_private = t.confined.mounter.make_private
def mount_first(*arguments):
    subprocess.run(["mount", "--bind", site / "out", site / "ws"], check=True)
    make_private(*arguments)
t.confined.mounter.make_private = mount_first
try:
    t.run(t.process_plan({wire!r}, site), "touch ws/ran", site)
except t.PolicyNotEnforceableError as error:
    sys.exit(0 if "changed while" in str(error) else 3)
sys.exit(4)
"""
    command = ["unshare", "--mount", "--propagation", "shared", sys.executable, "-c", code]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, os.listdir(site / "out")) == (0, ["secret"]), done.stderr
