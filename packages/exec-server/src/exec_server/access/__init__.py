"""Admission of clients: bearer tokens, certificates, and the files that hold the secrets."""
