"""From messages to calls: the life of a connection, its requests and their answers."""
