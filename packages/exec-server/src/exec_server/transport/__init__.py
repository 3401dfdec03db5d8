"""Transport from sockets to messages and back: WebSocket, TLS, limits, admission."""
