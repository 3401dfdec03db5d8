"""Who may come in: bearer tokens, certificates, and the files that hold the secrets."""
