"""Trying a login at its registry before it is kept."""

from __future__ import annotations

from wardian.errors import NotFound, RegistryFailed
from wardian.images.registry.credentials import Credentials
from wardian.images.registry.settings import Settings
from wardian.images.registry.transport import NoTls, Patience, Transport


def verify(
    domain: str, credentials: Credentials, *, patience: Patience | None = None
) -> Credentials:
    """See whether the registry takes this login; RegistryFailed if not, or if there is none."""
    error: RegistryFailed | None = None
    for endpoint in Settings.read().endpoints(domain, for_push=True):
        transport = Transport(endpoint, lambda: credentials, patience or Patience())
        try:
            _try(transport)
        except RegistryFailed as failed:
            error = failed if error is None or isinstance(error, NoTls) else error
            if transport.was_answered:
                raise
        else:
            return credentials
        finally:
            transport.close()
    assert error is not None
    raise error


def _try(transport: Transport) -> None:
    host = transport.endpoint.host
    try:
        transport.send("GET", f"{transport.endpoint.url}/v2/", what="the login").done()
    except NotFound as error:
        raise RegistryFailed(f"not a registry: {host}") from error
