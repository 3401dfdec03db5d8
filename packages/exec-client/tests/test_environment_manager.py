"""Environments by id. What needs a server is tested where there is one.

The names in the comments are those of the reference client's tests of the same behaviour.
"""

from __future__ import annotations

import asyncio

import pytest
from exec_client.environment import (
    Environment,
    EnvironmentConfigError,
    EnvironmentManager,
    EnvironmentSnapshot,
    EnvironmentUnavailableError,
    RemoteEnvironment,
    UrlNotPendingError,
    snapshot_from_url,
)
from exec_client.errors import ConnectError
from exec_client.options import ClientOptions

NOBODY = "ws://127.0.0.1:1"


async def test_without_a_url_the_default_is_this_machine() -> None:
    # environment_manager_normalizes_empty_url, _includes_local_for_default_provider_without_url
    async with EnvironmentManager(snapshot_from_url(" ")) as manager:
        assert manager.default_id == "local"
        assert manager.ids == ("local",)
        local = manager.get()
        assert local is not None
        assert not local.is_remote
        assert local.exec_server_url is None
        assert local.startup_finished
        assert (await local.status()).state == "pending"


async def test_a_url_gives_one_remote_environment() -> None:
    # environment_manager_creates_remote_environment_for_url
    async with EnvironmentManager(snapshot_from_url(NOBODY)) as manager:
        assert manager.default_id == "remote"
        environment = manager.get()
        assert environment is not None
        assert environment.is_remote
        assert environment.exec_server_url == NOBODY
        assert manager.get("local") is None


async def test_a_disabled_manager_has_neither_a_default_nor_a_local_environment() -> None:
    # disabled_environment_manager_has_no_default_or_local_environment,
    # environment_manager_omits_default_provider_local_lookup_when_default_disabled
    async with EnvironmentManager(snapshot_from_url("none")) as manager:
        assert manager.default_id is None
        assert manager.get() is None
        assert manager.get("local") is None
        assert manager.ids == ()


async def test_the_default_comes_first_and_the_others_in_their_order() -> None:
    # environment_manager_builds_from_snapshot, _uses_explicit_provider_default
    snapshot = EnvironmentSnapshot(
        remotes=tuple(RemoteEnvironment(name, NOBODY) for name in ("a", "b", "c")),
        default="b",
        include_local=True,
    )
    manager = EnvironmentManager(snapshot)
    assert manager.ids == ("b", "local", "a", "c")
    assert manager.get("b") is manager.get()
    assert manager.get("unknown") is None  # get_environment_returns_none_for_unknown_id
    await manager.aclose()
    assert manager.get("a") is None


async def test_a_default_can_be_turned_off() -> None:
    # environment_manager_disables_provider_default
    manager = EnvironmentManager(EnvironmentSnapshot(include_local=True))
    assert manager.default_id is None
    assert manager.get() is None
    assert manager.get("local") is not None
    await manager.aclose()


def test_a_snapshot_that_breaks_a_rule_is_refused() -> None:
    with pytest.raises(EnvironmentConfigError, match="unknown"):
        EnvironmentManager(EnvironmentSnapshot(default="missing"))


async def test_an_upsert_adds_or_replaces_and_leaves_the_default() -> None:
    # environment_manager_upserts_named_remote_environment
    async with asyncio.timeout(10), EnvironmentManager(snapshot_from_url(NOBODY)) as manager:
        old = manager.get("remote")
        new = await manager.upsert("remote", f" {NOBODY} ")
        assert manager.get("remote") is new
        assert new is not old
        assert new.exec_server_url == NOBODY
        await manager.upsert("other", NOBODY)
        assert manager.default_id == "remote"
        assert manager.ids == ("remote", "other")


@pytest.mark.parametrize(
    ("environment_id", "url", "complaint"),
    [
        ("", NOBODY, "empty"),
        ("local", NOBODY, "reserved"),
        ("x", "  ", "remote environment requires an exec-server url"),
    ],
)
async def test_an_upsert_that_breaks_a_rule_changes_nothing(
    environment_id: str, url: str, complaint: str
) -> None:
    # environment_manager_rejects_empty_remote_environment_url
    async with EnvironmentManager(snapshot_from_url(None)) as manager:
        with pytest.raises(EnvironmentConfigError, match=complaint):
            await manager.upsert(environment_id, url)
        assert manager.ids == ("local",)


async def test_a_remote_environment_that_cannot_be_reached_says_so_when_used() -> None:
    async with asyncio.timeout(10), EnvironmentManager(snapshot_from_url(NOBODY)) as manager:
        environment = manager.get()
        assert environment is not None
        with pytest.raises(ConnectError):
            await environment.run(["true"])
        status = await environment.status()
        assert status.state == "disconnected"
        assert status.error
        assert environment.startup_finished


async def test_a_pending_environment_can_be_given_up_and_registered_again() -> None:
    # failing_pending_environment_wakes_waiters_and_allows_reregistration
    async with asyncio.timeout(10), EnvironmentManager(EnvironmentSnapshot()) as manager:
        environment = manager.register_pending("later")
        assert environment.is_remote
        assert environment.exec_server_url is None
        waiter = asyncio.create_task(environment.client())
        await asyncio.sleep(0)
        manager.fail_pending("later", "no quota")
        with pytest.raises(EnvironmentUnavailableError, match="environment unavailable: no quota"):
            await waiter
        assert manager.get("later") is None
        assert manager.register_pending("later") is not environment


async def test_a_pending_environment_cannot_be_registered_or_settled_twice() -> None:
    async with asyncio.timeout(10), EnvironmentManager(EnvironmentSnapshot()) as manager:
        manager.register_pending("later")
        with pytest.raises(EnvironmentConfigError, match="already exists"):
            manager.register_pending("later")
        with pytest.raises(EnvironmentConfigError, match="requires an exec-server url"):
            manager.complete_pending("later", " ")
        manager.complete_pending("later", NOBODY)
        with pytest.raises(UrlNotPendingError):
            manager.complete_pending("later", NOBODY)
        with pytest.raises(UrlNotPendingError):
            manager.fail_pending("later", "too late")
        with pytest.raises(UrlNotPendingError):
            manager.complete_pending("unknown", NOBODY)


async def test_closing_fails_whoever_waits_for_a_url() -> None:
    async with asyncio.timeout(10):
        async with EnvironmentManager(EnvironmentSnapshot()) as manager:
            environment = manager.register_pending("later")
            waiter = asyncio.create_task(environment.client())
            await asyncio.sleep(0)
        with pytest.raises(EnvironmentUnavailableError, match="closed"):
            await waiter


async def test_timeouts_of_an_entry_go_before_those_of_the_manager() -> None:
    options = ClientOptions(connect_timeout=7.0)
    manager = EnvironmentManager(EnvironmentSnapshot(), options=options)
    own = manager.options_for(RemoteEnvironment("a", NOBODY, initialize_timeout=0.5))
    assert own is not None
    assert (own.connect_timeout, own.initialize_timeout) == (7.0, 0.5)
    assert manager.options_for(RemoteEnvironment("a", NOBODY)) is options
    await manager.aclose()


async def test_a_token_of_an_entry_is_shown_there_and_nowhere_else() -> None:
    options = ClientOptions(token="of all")
    manager = EnvironmentManager(EnvironmentSnapshot(), options=options)
    own = manager.options_for(RemoteEnvironment("a", NOBODY, auth_bearer_token="of a"))
    assert own is not None
    assert own.token == "of a"
    assert manager.options_for(RemoteEnvironment("b", NOBODY)) is options
    assert options.token == "of all"
    await manager.aclose()


@pytest.mark.parametrize("url", ["none", " NONE "])
async def test_the_word_none_makes_no_environment(url: str) -> None:
    with pytest.raises(EnvironmentConfigError, match="does not create an environment"):
        Environment.create(url)


async def test_creating_without_a_url_gives_this_machine() -> None:
    async with Environment.create("  ") as environment:
        assert not environment.is_remote
    async with Environment.create(" ws://h ") as environment:
        assert environment.exec_server_url == "ws://h"
    with pytest.raises(EnvironmentConfigError, match="requires an exec-server url"):
        Environment.remote(" ")
