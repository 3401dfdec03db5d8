"""Futures, threads, descriptors and memory. Imports nothing of ours above it."""
