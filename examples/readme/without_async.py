"""The same without async, as the client's README shows it."""

from exec_client.sync import Environment, connect

with connect("ws://127.0.0.1:8765") as client:
    print(client.run(["uname", "-n"]).stdout.decode())

with Environment.local() as here:  # starts a server of its own
    for line in here.start(["ls", "-l"]).stdout.lines():
        print(line)
