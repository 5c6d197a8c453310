"""A key and a self-signed certificate of server.example and 10.0.0.2, for tests of TLS; it protects nothing."""

from __future__ import annotations

import ssl
import tempfile

PEM = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg9KdGVWOc0km/S9+N
Bxnb7kTFwsssmg2d1x1RDIY4BfOhRANCAARQ2nIUrFr44kaL9LdcrnTGi9gzZp/t
UJ5uYd+H5OMmvejxV+EdNIeiKs2gAnINVwq39g20xlTRowhM1Z0hJRdX
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBqjCCAVCgAwIBAgIUDxeNZCi453fou+5apFmvteYcC44wCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOc2VydmVyLmV4YW1wbGUwIBcNMjYxMTIyMTgzMDUyWhgPMjEy
NjEwMjkxODMwNTJaMBkxFzAVBgNVBAMMDnNlcnZlci5leGFtcGxlMFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAEUNpyFKxa+OJGi/S3XK50xovYM2af7VCebmHfh+Tj
Jr3o8VfhHTSHoirNoAJyDVcKt/YNtMZU0aMITNWdISUXV6N0MHIwHQYDVR0OBBYE
FK472vKzRbCTLxgr0wqqT9CkGSQ6MB8GA1UdIwQYMBaAFK472vKzRbCTLxgr0wqq
T9CkGSQ6MA8GA1UdEwEB/wQFMAMBAf8wHwYDVR0RBBgwFoIOc2VydmVyLmV4YW1w
bGWHBAoAAAIwCgYIKoZIzj0EAwIDSAAwRQIhAOp1IbSs/jGwkkTrAA0meaNdwAUO
5n4t/Rewv6s3CMa+AiBkR4XEajjdYbJmCu5aNReBUQpC4LxDwC8LijUcowto1g==
-----END CERTIFICATE-----
"""


def server_context() -> ssl.SSLContext:
    """For a server that shows the certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(PEM)
        file.flush()
        context.load_cert_chain(file.name)
    return context


def client_context() -> ssl.SSLContext:
    """For a client that trusts it, and nothing else."""
    return ssl.create_default_context(cadata=PEM[PEM.index("-----BEGIN CERTIFICATE") :])
