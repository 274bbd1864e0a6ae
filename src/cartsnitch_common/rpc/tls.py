"""TLS from the files that the settings name, checked before the first call.

gRPC itself takes any bytes for a certificate and fails at each call, with a
handshake that says nothing.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import grpc

from cartsnitch_common.config import setting_name
from cartsnitch_common.errors import SettingError

if TYPE_CHECKING:
    from pathlib import Path

    from cartsnitch_common.config import Settings


def server_credentials(settings: Settings) -> grpc.ServerCredentials | None:
    """What a server proves itself with; None where TLS is not configured.

    Raises:
        SettingError: A file cannot be read, or the key is not the certificate's.
    """
    certificate, key = settings.rpc_tls_certificate, settings.rpc_tls_key
    if certificate is None or key is None:
        return None
    pair = _read("rpc_tls_key", key), _read("rpc_tls_certificate", certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Without a password OpenSSL would ask for one at the terminal.
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError:
        reason = "is no PEM key without a password that fits CARTSNITCH_RPC_TLS_CERTIFICATE"
        raise SettingError(setting_name("rpc_tls_key"), reason) from None
    return grpc.ssl_server_credentials([pair])


def channel_credentials(settings: Settings) -> grpc.ChannelCredentials | None:
    """Whom a channel trusts; None where TLS is not configured.

    Raises:
        SettingError: The file cannot be read, or holds no certificate.
    """
    if settings.rpc_tls_ca is None:
        return None
    roots = _read("rpc_tls_ca", settings.rpc_tls_ca)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=roots.decode("ascii", "replace"))
    except (ssl.SSLError, ValueError):
        raise SettingError(setting_name("rpc_tls_ca"), "holds no PEM certificate") from None
    return grpc.ssl_channel_credentials(root_certificates=roots)


def _read(field: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        reason = f"cannot be read ({(error.strerror or type(error).__name__).lower()})"
        raise SettingError(setting_name(field), reason) from None
