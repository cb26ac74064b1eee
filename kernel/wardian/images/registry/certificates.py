"""Whom a registry's TLS is trusted by: the system's authorities and docker's ``certs.d``.

    /etc/docker/certs.d/HOST:PORT/*.crt          authorities, beside the system's
    /etc/docker/certs.d/HOST:PORT/x.cert, x.key  a client's certificate and its key

https://docs.docker.com/engine/security/certificates/; also below /etc/wardian and, for users,
~/.config/docker.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from wardian.errors import InvalidInput
from wardian.images.registry.settings import Endpoint

PLACES = ("/etc/wardian/certs.d", "/etc/docker/certs.d", "~/.config/docker/certs.d")


def tls(endpoint: Endpoint) -> ssl.SSLContext:
    """The context for one registry; InvalidInput for a certificate that cannot be read."""
    if endpoint.is_verified:
        context = ssl.create_default_context()
    else:  # nobody's authority counts, and to read the system's takes a tenth of a second
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    for place in PLACES:
        directory = Path(os.path.expanduser(place)) / endpoint.host
        if directory.is_dir():
            _add(context, directory)
    return context


def _add(context: ssl.SSLContext, directory: Path) -> None:
    for path in sorted(directory.iterdir()):
        try:
            if path.suffix == ".crt":
                context.load_verify_locations(path)
            elif path.suffix == ".cert":
                context.load_cert_chain(path, path.with_suffix(".key"))
        except (OSError, ssl.SSLError) as error:
            raise InvalidInput(f"cannot use the certificate {path}: {error}") from error
