"""A plan as options of bubblewrap."""

from __future__ import annotations

from itertools import count

import pytest
from exec_server.sandbox.arguments import options, read_only_paths
from exec_server.sandbox.lookup import Identity
from exec_server.sandbox.plan import Base, Kind, Mount, Plan
from exec_server.sandbox.rules import Confinement

SOURCE = Identity(1, 2)


def told(plan: Plan, *, own_session: bool = True) -> str:
    numbers = count(100)
    found = options(plan, lambda: next(numbers), own_session=own_session)
    return " ".join(option.decode() for option in found)


def full(*mounts: Mount, base: Base = Base.READABLE, network: str = "restricted") -> Plan:
    return Plan(Confinement.FULL, network, base, mounts)  # type: ignore[arg-type]


def test_a_full_sandbox_has_everything_of_its_own() -> None:
    text = told(full())
    for option in (
        "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-net", "--new-session",
        "--die-with-parent", "--cap-drop ALL", "--ro-bind / /", "--dev /dev", "--proc /proc",
    ):  # fmt: skip
        assert option in text
    assert text.index("--proc /proc") < text.index("--ro-bind /proc/sys /proc/sys")


def test_a_network_is_kept_when_it_may_be_used() -> None:
    assert "--unshare-net" not in told(full(network="enabled"))


def test_a_terminal_is_kept_by_staying_in_its_session() -> None:
    assert "--new-session" not in told(full(), own_session=False)


@pytest.mark.parametrize(
    ("base", "start"),
    [
        (Base.EMPTY, "--dev /dev --proc /proc --perms 1777 --dir /tmp"),
        (Base.READABLE, "--ro-bind / / --dev /dev --proc /proc"),
        (Base.WRITABLE, "--bind / / --dev /dev --proc /proc --bind-try /dev/shm /dev/shm"),
    ],
)
def test_the_whole_comes_first(base: Base, start: str) -> None:
    assert start in told(full(base=base))


def test_the_kernel_s_settings_are_read_only_even_where_everything_is_writable() -> None:
    assert b"/sys" in read_only_paths(full(base=Base.WRITABLE))
    assert b"/proc/sys" in read_only_paths(full(base=Base.EMPTY))
    free = read_only_paths(Plan(Confinement.NETWORK, "restricted"))
    assert {b"/proc/sys", b"/sys"} <= set(free)


def test_where_files_are_free_nothing_else_is() -> None:
    text = told(Plan(Confinement.NETWORK, "restricted"))
    for option in (
        "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-net", "--cap-drop ALL",
        "--bind / /", "--dev /dev", "--ro-bind /sys /sys",
    ):  # fmt: skip
        assert option in text


def test_each_kind_of_mount_has_its_option() -> None:
    text = told(
        full(
            Mount(Kind.LINK, b"/alias", target=b"ws"),
            Mount(Kind.WRITE, b"/ws", SOURCE),
            Mount(Kind.READ, b"/ws/.git", SOURCE),
            Mount(Kind.BLOCK_FOLDER, b"/ws/.aws"),
            Mount(Kind.PIN, b"/ws/a", SOURCE),
            Mount(Kind.HIDE_FILE, b"/ws/a/secret"),
            Mount(Kind.BLOCK_FILE, b"/ws/none"),
            Mount(Kind.HIDE_FOLDER, b"/ws/z"),
        )
    )
    assert text.endswith(
        "--symlink ws /alias --bind /ws /ws --ro-bind /ws/.git /ws/.git "
        "--ro-bind /ws/.aws /ws/.aws --bind /ws/a /ws/a "
        "--perms 000 --ro-bind-data 100 /ws/a/secret --ro-bind /ws/none /ws/none "
        "--perms 000 --tmpfs /ws/z --remount-ro /ws/z"
    )


def test_a_mask_is_closed_after_what_is_mounted_in_it() -> None:
    text = told(
        full(
            Mount(Kind.HIDE_FOLDER, b"/h", opened=True),
            Mount(Kind.WRITE, b"/h/a", SOURCE),
            Mount(Kind.HIDE_FOLDER, b"/h/a/b"),
            Mount(Kind.WRITE, b"/h/c", SOURCE),
            Mount(Kind.WRITE, b"/hh", SOURCE),
        )
    )
    assert text.endswith(
        "--perms 111 --tmpfs /h --bind /h/a /h/a --perms 000 --tmpfs /h/a/b --remount-ro /h/a/b "
        "--bind /h/c /h/c --remount-ro /h --bind /hh /hh"
    )


def test_what_is_mounted_can_be_named_by_descriptors() -> None:
    plan = full(Mount(Kind.WRITE, b"/ws", SOURCE), Mount(Kind.READ, b"/ws/.git", SOURCE))
    found = options(plan, lambda: 0, source=lambda mount: (b"-fd", b"7"))
    assert b" ".join(found).endswith(b"--bind-fd 7 /ws --ro-bind-fd 7 /ws/.git")
