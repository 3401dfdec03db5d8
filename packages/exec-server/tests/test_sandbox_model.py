"""Real sandboxes against a plain model of what policies mean."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from exec_server.launching.launch import prepare
from exec_server.sandbox.planning import plan_for_process
from exec_server_protocol.sandbox import SandboxContext
from exec_testkit.sandboxes import context, path, place
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="needs bubblewrap"),
    pytest.mark.process,
    pytest.mark.slow,
]

NAMES = ("a", "b")
PLACES = [".", *NAMES, *(f"{x}/{y}" for x in NAMES for y in NAMES)]
ENV = {b"PATH": b"/usr/local/bin:/usr/bin:/bin"}
SCRIPT = """
cd / || exit 1
for place in "$@"; do
    read -r line < "$place/file" && echo "read $line"
    echo new > "$place/new"
    echo changed > "$place/kept"
done
exit 0
"""


def expected(rules: dict[str, str], where: str, everything: bool) -> str | None:
    """Return what may be done at a place, from the words of the specification."""
    access = "read" if everything else None
    names = [] if where == "." else where.split("/")
    for length in range(len(names) + 1):
        rule = rules.get("/".join(names[:length]) or ".")
        if rule is not None and not (rule == "read" and access == "deny"):
            access = rule
    return access


@pytest.mark.parametrize("few", [0, 32])
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rules=st.dictionaries(
        st.sampled_from(PLACES), st.sampled_from(["read", "write", "deny"]), max_size=4
    ),
    everything=st.booleans(),
)
def test_a_real_sandbox_allows_what_the_most_specific_rule_says(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    few: int,
    rules: dict[str, str],
    everything: bool,
) -> None:
    # Mounts are made by bubblewrap, or by a program of ours if there are many.
    monkeypatch.setattr("exec_server.launching.confined._FEW", few)
    base = Path(os.path.realpath(tmp_path)) / "tree"
    shutil.rmtree(base, ignore_errors=True)
    for where in PLACES:
        (base / where).mkdir(exist_ok=True)
        (base / where / "file").write_text(f"{where}\n")
        (base / where / "kept").write_text("kept")
    entries = [place("root" if everything else "minimal")]
    entries += [path(base / where if where != "." else base, rule) for where, rule in rules.items()]
    plan = plan_for_process(SandboxContext.model_validate(context(entries)), cwd=b"/", env=ENV)
    argv = ["/bin/sh", "-c", SCRIPT, "sh", *(str(base / where) for where in PLACES)]
    launch = prepare(plan, [os.fsencode(part) for part in argv], env=ENV, cwd=b"/")
    try:
        popen = subprocess.Popen(
            launch.argv,
            executable=launch.executable,
            env=launch.env,
            cwd=launch.cwd,
            pass_fds=launch.pass_fds,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        launch.spawned()
        launch.admit()
        output = popen.communicate(timeout=20)[0]
    finally:
        launch.close()
    assert popen.returncode == 0
    allowed = {where: expected(rules, where, everything) for where in PLACES}
    readable = {where for where, access in allowed.items() if access in ("read", "write")}
    writable = {where for where, access in allowed.items() if access == "write"}
    assert set(output.split()) - {"read"} == readable
    assert {where for where in PLACES if (base / where / "new").exists()} == writable
    changed = {where for where in PLACES if (base / where / "kept").read_text() != "kept"}
    assert changed == writable
