"""File requests of a connection: their order, their handles, what is watched."""
