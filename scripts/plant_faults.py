"""Plant the faults of ``tests/faults.toml`` one after the other, and see that their tests fail.

    python scripts/plant_faults.py [--jobs N] [WORD ...]

With words, only faults with one of them in their name, file or test. Works on copies in a
temporary folder, one for each job; the checkout is not touched.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from exec_testkit.faults import FAULTS, Fault, Workshop, load

ROOT = Path(__file__).parents[1]


def main() -> int:
    """Return 0 when each fault was noticed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("words", nargs="*", metavar="WORD")
    parser.add_argument("--jobs", type=int, default=1, choices=range(1, 9), metavar="N")
    arguments = parser.parse_args()
    faults = load(ROOT)
    misfits = [text for fault in faults for text in fault.misfits(ROOT)]
    if misfits:
        print(*misfits, sep="\n")
        return 1
    if arguments.words:
        faults = [fault for fault in faults if _is_meant(fault, arguments.words)]
    if not faults:
        print(f"no fault in {FAULTS} has such a word")
        return 2
    with tempfile.TemporaryDirectory(prefix="planted-faults-") as folder:
        return _plant(faults, arguments.jobs, Path(folder))


def _is_meant(fault: Fault, words: list[str]) -> bool:
    return any(word in text for word in words for text in (fault.name, fault.file, fault.test))


def _plant(faults: list[Fault], jobs: int, folder: Path) -> int:
    free: SimpleQueue[Workshop] = SimpleQueue()
    for number in range(min(jobs, len(faults))):
        place = folder / str(number)
        place.mkdir()
        free.put(Workshop(ROOT, place))
    workshop = free.get()
    # A test that fails anyhow would notice everything.
    passes, output = workshop.passes(sorted({fault.test for fault in faults}))
    free.put(workshop)
    if not passes:
        print(output, "a test fails without any fault", sep="\n")
        return 1

    def look(fault: Fault) -> bool:
        began = time.monotonic()
        workshop = free.get()
        try:
            noticed = workshop.notices(fault)
            said = "caught" if noticed else "NOT CAUGHT"
        except RuntimeError as error:
            noticed, said = False, f"{error}\nDID NOT RUN"
        finally:
            free.put(workshop)
        print(f"{said:10}  {time.monotonic() - began:5.1f} s  {fault.name}", flush=True)
        return noticed

    with ThreadPoolExecutor(jobs) as pool:
        noticed = sum(pool.map(look, faults))
    print(f"{noticed} of {len(faults)} faults caught")
    return 0 if noticed == len(faults) else 1


if __name__ == "__main__":
    sys.exit(main())
