"""One client over many connections: states, one connection generation, the WebSocket."""
