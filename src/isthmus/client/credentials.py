"""Who we are on each request: bearer tokens that rotate, basic passwords, credential plugins; and the TLS context.

Used by `transport` only.
"""

import base64
import json
import os
import ssl
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from isthmus.client.kubeconfig import Access, ExecCredential, KubeconfigError
from isthmus.lib import clock, run

TOKEN_FILE_SECONDS = 60.0  # a pod's token is rotated on disk; client-go re-reads it as often
PLUGIN_SECONDS = 60.0


class Credentials:
    """The identity of one `Access`. Plugins are run at first use and again when what they gave has expired."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._token = access.token
        self._expires = 0.0 if access.token_file or access.exec else float("inf")

    async def resolved(self) -> Access:
        """The access with the certificate that a plugin may have given: for the TLS context."""
        await self._refresh()
        return self._access

    async def headers(self) -> dict[str, str]:
        """The `Authorization` header, if any. Raises KubeconfigError."""
        await self._refresh()
        if self._token:
            return {"Authorization": f"Bearer {self._token}"}
        if self._access.username:
            pair = f"{self._access.username}:{self._access.password}".encode()
            return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
        return {}

    async def _refresh(self) -> None:
        if time.time() < self._expires:
            return
        if self._access.token_file:
            self._token = _read_token(self._access.token_file)
            self._expires = time.time() + TOKEN_FILE_SECONDS
        elif self._access.exec:
            status = await run_plugin(self._access.exec)
            self._token = status.get("token") or ""
            if status.get("clientCertificateData") and status.get("clientKeyData"):
                self._access = replace(
                    self._access,
                    certificate=status["clientCertificateData"].encode(),
                    key=status["clientKeyData"].encode(),
                )
            expires = status.get("expirationTimestamp")
            self._expires = clock.parse(expires) - 10 if expires else float("inf")


def _read_token(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError as error:
        raise KubeconfigError(f"{path}: cannot be read ({error.strerror})") from error


async def run_plugin(plugin: ExecCredential) -> dict[str, Any]:
    """The `status` of the ExecCredential that the plugin prints. Raises KubeconfigError."""
    request = {"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": {"interactive": False}}
    env = dict(os.environ) | plugin.env | {"KUBERNETES_EXEC_INFO": json.dumps(request)}
    try:
        done = await run.run([plugin.command, *plugin.args], env=env, timeout=PLUGIN_SECONDS)
        status: dict[str, Any] = json.loads(done.stdout)["status"]
    except run.CommandError as error:
        raise KubeconfigError(f"credential plugin: {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise KubeconfigError(f"credential plugin {plugin.command}: printed no ExecCredential with a status") from error
    return status


def tls_context(access: Access) -> ssl.SSLContext:
    """Trust the access's authority and show its certificate. Raises KubeconfigError for broken PEM."""
    try:
        context = ssl.create_default_context(cadata=access.ca.decode() if access.ca else None)
        if access.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if access.certificate and access.key:
            _load_certificate(context, access.certificate, access.key)
    except (ssl.SSLError, ValueError) as error:
        raise KubeconfigError(f"the certificates of the kubeconfig are not valid PEM ({error})") from error
    return context


def _load_certificate(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """`ssl` reads files only; anonymous memory keeps the key off every disk."""
    descriptor = os.memfd_create("client-identity", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, certificate.rstrip() + b"\n" + key)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
