"""Files: workers, what each may serve, the order of requests, open files."""
