"""The list of planted faults fits the sources, and stands for all of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from exec_testkit.faults import Fault, load

ROOT = Path(__file__).parents[2]
FAULTS = load(ROOT)

AT_LEAST = 40
SOURCES = ("exec_server", "exec_client", "exec_server_protocol", "fs_helper")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_its_text_occurs_once_and_its_test_is_there(fault: Fault) -> None:
    assert fault.misfits(ROOT) == []
    assert fault.new != fault.old


def test_no_two_are_the_same() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= AT_LEAST
    assert len({(fault.file, fault.old) for fault in FAULTS}) == len(FAULTS)


def test_every_room_has_one() -> None:
    sources = [*ROOT.glob("packages/*/src/*")]
    rooms = {
        str(room.relative_to(ROOT))
        for source in sources
        if source.name in SOURCES
        for room in source.iterdir()
        if room.is_dir() and not room.name.startswith("_") and any(room.glob("*.py"))
    }
    with_faults = {str(Path(fault.file).parent) for fault in FAULTS}
    assert rooms - with_faults == set()
    helper_and_protocol = [s for s in sources if s.name in ("exec_server_protocol", "fs_helper")]
    assert all(str(source.relative_to(ROOT)) in with_faults for source in helper_and_protocol)
