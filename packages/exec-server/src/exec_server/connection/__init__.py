"""One WebSocket connection: the transport, its states, what runs its requests."""
