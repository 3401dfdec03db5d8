"""Output of processes, kept until it has arrived. Imports nothing of ours above it."""
