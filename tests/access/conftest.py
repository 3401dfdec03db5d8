"""Secrets and certificates of one test."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme


class Certificates:
    """An authority and what it has signed, as files that only their owner may read.

    Attributes:
        ca: The authority.
        folder: Where the files are.
    """

    def __init__(self, folder: Path) -> None:
        self.ca = trustme.CA()
        self.folder = folder
        folder.chmod(0o700)
        self.ca.cert_pem.write_to_path(str(folder / "ca.pem"))

    @property
    def ca_file(self) -> str:
        return str(self.folder / "ca.pem")

    def write(self, leaf: trustme.LeafCert, name: str = "server") -> tuple[str, ...]:
        """Write a certificate and its key; returns the options that name them."""
        cert, key = self.folder / f"{name}-cert.pem", self.folder / f"{name}-key.pem"
        cert.write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
        leaf.private_key_pem.write_to_path(str(key))
        return "--tls-cert", str(cert), "--tls-key", str(key)

    def server(self, *names: str) -> tuple[str, ...]:
        """Issue a certificate of a server; returns the options for it."""
        return self.write(self.ca.issue_cert(*(names or ("127.0.0.1",))))

    def trusting(self, *, certificate_of: trustme.CA | None = None) -> ssl.SSLContext:
        """Return a client's context; with a certificate if somebody is to sign it."""
        context = ssl.create_default_context(cafile=self.ca_file)
        if certificate_of is not None:
            certificate_of.issue_cert("client").configure_cert(context)
        return context


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)
