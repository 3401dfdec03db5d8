"""Workers: file helpers that run for a plan, and the server's side of them."""
