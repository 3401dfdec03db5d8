"""From sockets to messages, and back: WebSocket, TLS, limits, and who may come in."""
