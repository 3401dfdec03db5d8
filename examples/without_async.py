"""The same client without ``async``: run a command, then stream another one line by line."""

from __future__ import annotations

from exec_client.sync import Environment

with Environment.local() as here:
    done = here.run(["tr", "a-z", "A-Z"], input="hello\n", check=True)
    print(done.stdout.decode(), end="")

    with here.start(["sh", "-c", "for i in 1 2 3; do echo line $i; done"]) as process:
        for line in process.stdout.lines():
            print("streamed", line.rstrip())

# Prints:
# HELLO
# streamed line 1
# streamed line 2
# streamed line 3
