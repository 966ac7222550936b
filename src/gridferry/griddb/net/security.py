"""What may be sent to a node over which connection: TLS, and what stands for the password at a login.

GridDB's own login sends the SHA-256 of the password. It is no secret to be sent in clear: whoever reads it can log in
with it. A login by LDAP sends the password itself. See docs/security.md.
"""

from __future__ import annotations

import hashlib
import ssl
from enum import IntEnum

from gridferry.errors import AuthenticationFailed, ConfigError
from gridferry.griddb.address import Authentication, GridDBAddress, SslMode

# Users that a server keeps itself, whatever else it asks about users: they never log in by LDAP.
_OWN_USERS = ("admin", "system")
_OWN_USER_MARK = "#"


class AuthType(IntEnum):
    """How a server checks users, as it says in its first answer and as a login says (option 11012)."""

    INTERNAL = 0
    LDAP = 1


def tls_context(address: GridDBAddress) -> ssl.SSLContext:
    """The context of a TLS handshake. Raises: ConfigError for a ca_file that cannot be used."""
    try:
        context = ssl.create_default_context(cafile=address.ca_file or None)
    except OSError as error:
        raise ConfigError(f"the ca_file of the GridDB address cannot be used: {error.strerror or error}") from error
    if address.sslmode is not SslMode.VERIFY:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def require_private(address: GridDBAddress, *, node: str, local: bool) -> None:
    """Return if a login may go to this node in clear. Raises: AuthenticationFailed, before anything of it is sent."""
    if local or address.sslmode in (SslMode.DISABLE, SslMode.PREFER):
        return
    raise AuthenticationFailed(
        f"the GridDB node {node} offers no TLS, and the login would go over the network in clear",
        state="nothing of the login was sent",
        next_step="switch TLS on at the server; or, in a network that you trust, write ?sslmode=disable behind the "
        "GridDB address",
    )


def login_type(address: GridDBAddress, offered: int, *, node: str, secure: bool, local: bool) -> AuthType:
    """How to log in to a server that `offered` an authentication type.

    Raises: AuthenticationFailed where address and server do not agree, and where a server asks for the password itself
    over a connection that others can read: anybody in between could ask that.
    """
    wished = address.authentication
    own = address.user in _OWN_USERS or _OWN_USER_MARK in address.user
    if offered not in (AuthType.INTERNAL, AuthType.LDAP):
        raise AuthenticationFailed(
            f"the GridDB node {node} asks for authentication type {offered}, which gridferry does not know",
            next_step="use a user that GridDB keeps itself",
        )
    if wished is Authentication.LDAP and (own or offered != AuthType.LDAP):
        why = f"GridDB keeps the user {address.user} itself" if own else f"the node {node} does not use LDAP"
        raise AuthenticationFailed(
            f"authentication=ldap is not possible: {why}", next_step="leave authentication out of the GridDB address"
        )
    if own or offered == AuthType.INTERNAL or wished is Authentication.INTERNAL:
        return AuthType.INTERNAL
    written = wished is Authentication.LDAP and address.sslmode in (SslMode.DISABLE, SslMode.PREFER)
    if not (secure or local or written):
        raise AuthenticationFailed(
            f"the GridDB node {node} asks for a login by LDAP, which sends the password itself, and the connection "
            "is not encrypted",
            state="nothing of the login was sent",
            next_step="use sslmode=verify (or require); or write authentication=ldap and sslmode=disable where the "
            "network can be trusted with the password",
        )
    return AuthType.LDAP


def secret_of(address: GridDBAddress, how: AuthType) -> str:
    """What stands for the password in a login: the lowercase hex SHA-256 of it, with LDAP the password."""
    return address.password if how is AuthType.LDAP else hashlib.sha256(address.password.encode()).hexdigest()
