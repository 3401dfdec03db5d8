"""The program `exec-server sandbox-check`: ways out of the sandbox, and what becomes of them."""
