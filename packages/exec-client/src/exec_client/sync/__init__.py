"""The client without ``async``: the same names, called from ordinary code.

::

    from exec_client.sync import connect

    with connect("ws://127.0.0.1:8765") as client:
        done = client.run(["make", "test"], cwd="/srv/app", check=True)

Each connection or environment has an event loop on a thread of its own, which ends with it.
The objects may be used from several threads at once. Ctrl-C interrupts any call: what it was
doing is cancelled and cleaned up before ``KeyboardInterrupt`` goes on. ``with timeout(5):``
limits the time of any calls.
"""

from .client import Client, Environment, OutputStream, Process, connect, timeout

__all__ = ["Client", "Environment", "OutputStream", "Process", "connect", "timeout"]
