"""Calls from messages: the life of a connection, its requests and their answers."""
