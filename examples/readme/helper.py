"""Requests to the file helper without a server, as its README shows them."""

import subprocess
import sys

from exec_server_protocol.helper import FROM_WORKER, FrameDecoder, encode_request

requests = [
    ("fs/getMetadata", {"path": "file:///etc/hostname"}),
    ("fs/readFile", {"path": "file:///proc/sys/kernel/ostype"}),
    ("fs/readFile", {"path": "file:///nowhere"}),
]
text = b"".join(encode_request(number, *request) for number, request in enumerate(requests, 1))
worker = [sys.executable, "-I", "-m", "fs_helper"]
answer = subprocess.run(worker, input=text, capture_output=True).stdout
for frame in FrameDecoder(FROM_WORKER).feed(answer):
    print(frame.request_id, frame.kind.name, frame.payload.decode().rstrip())
