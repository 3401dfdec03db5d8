"""Messages of the Codex app-server: typed and checked on the way out, forgiving on the way in."""

from __future__ import annotations

from app_server_protocol import (
    ClientInfo,
    InitializeParams,
    RequestId,
    encode,
    types,
)
from app_server_protocol.errors import OutboundError
from app_server_protocol.inbound import from_server
from app_server_protocol.outbound import request

# What goes out. A type checker knows the params; at run time they are plain dictionaries.
hello = InitializeParams(ClientInfo("example", "1"))
start: types.ThreadStartParams = {"cwd": "/srv/ws", "sandbox": "read-only"}
asked: dict[RequestId, str] = {0: "initialize", 1: "thread/loaded/list"}

print(encode(hello.request(0)))
print(encode(request(1, "thread/loaded/list", {})))
print(encode(request(2, "thread/start", start)))

# The server ignores a typo, and refuses what needs a capability. Here both are known before.
for params in ({"cdw": "/srv/ws"}, {"cwd": "/srv/ws", "environments": []}):
    try:
        request(3, "thread/start", params)
    except OutboundError as error:
        print("not sent:", error)

# What comes in, from a server that is newer than this package.
LINES = """\
{"id":1,"result":{"data":["t1"],"nextCursor":null}}
{"method":"thread/closed","params":{"threadId":"t1"},"emittedAtMs":1795329145061}
{"method":"thread/closed","params":{"threadId":"t1","why":"tired"},"emittedAtMs":1795329145062}
{"method":"thread/celebrated","params":{"candles":3},"emittedAtMs":1795329145063}
{"method":"item/newer/requestApproval","id":0,"params":{}}
"""

for line in LINES.splitlines():
    view = from_server(line, asked.get)
    if view.kind == "response" and view.payload_type == "ThreadLoadedListResponse":
        print("threads:", view.payload_as(types.ThreadLoadedListResponse)["data"])
    elif view.method == "thread/closed":
        closed = view.payload_as(types.ThreadClosedNotification)
        print("closed:", closed["threadId"], *view.novelties())
    elif view.kind == "request":
        # Unanswered, the turn that asks would wait for ever.
        print("answered:", encode(view.refusal("cannot do that")))
    else:
        print("passed over:", view.method, view.payload)

# Prints:
# {"id":0,"method":"initialize","params":{"clientInfo":{"name":"example","version":"1"}}}
# {"id":1,"method":"thread/loaded/list","params":{}}
# {"id":2,"method":"thread/start","params":{"cwd":"/srv/ws","sandbox":"read-only"}}
# not sent: thread/start: unknown field cdw
# not sent: thread/start.environments requires experimentalApi capability
# threads: ['t1']
# closed: t1
# closed: t1 unknown field why
# passed over: thread/celebrated {'candles': 3}
# answered: {"error":{"code":-32601,"message":"cannot do that"},"id":0}
