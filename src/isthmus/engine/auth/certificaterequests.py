"""Certificates for those who ask: who may ask for and approve what, and the signer of clients' certificates.

The admission plugins CertificateSubjectRestriction and CertificateApproval and the signer of kube-controller-manager
in one place: it is here that the authority's key is. cryptography is loaded when the first request comes.
"""

import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus.engine.auth.authorization import Authorizer
from isthmus.engine.auth.user import MASTERS, User
from isthmus.engine.registry.admission import Lookup, Plugin
from isthmus.engine.registry.registry import Served
from isthmus.engine.registry.strategies import certificates
from isthmus.engine.registry.write import WriteContext
from isthmus.machinery import errors, rbac

if TYPE_CHECKING:
    from cryptography import x509

Object = dict[str, Any]
GROUP, PLURAL = "certificates.k8s.io", "certificatesigningrequests"
CLIENT, KUBELET = "kubernetes.io/kube-apiserver-client", "kubernetes.io/kube-apiserver-client-kubelet"
LONGEST = datetime.timedelta(days=365)  # kube-controller-manager's --cluster-signing-duration
USAGES = {"client auth", "digital signature", "key encipherment"}
NODES, NODE = "system:nodes", "system:node:"  # the one group, and the names, that the signer of kubelets signs


def plugin(authorizer: Authorizer) -> Plugin:
    """Refuses requests for administrators' certificates, and approvals by who may not approve for that signer."""

    def validate(_served: Served, new: Object, old: Object | None, context: WriteContext, _lookup: Lookup) -> None:
        name, signer = new["metadata"].get("name", ""), new["spec"]["signerName"]
        if old is None and signer == CLIENT and MASTERS in _groups(certificates.pem(new["spec"])):
            why = f"use of {CLIENT} signer with {MASTERS} group is not allowed"
            raise errors.forbidden(GROUP, PLURAL, name, why)
        if context.subresource == "approval" and not _may_approve(authorizer, context, signer):
            why = f'user not permitted to approve requests with signerName "{signer}"'
            raise errors.forbidden(GROUP, PLURAL, name, why)

    return Plugin("CertificateRequests", frozenset({certificates.RESOURCE}), validate=validate)


def _may_approve(authorizer: Authorizer, context: WriteContext, signer: str) -> bool:
    """`approve` of the signer, or of all of its domain."""
    user = User(context.user, context.groups)
    names = (signer, f"{signer.partition('/')[0]}/*")
    asked = (rbac.Attributes("approve", GROUP, "v1", "signers", name=name) for name in names)
    return any(authorizer.allows(user, attributes) for attributes in asked)


def _groups(pem: bytes) -> list[str]:
    from cryptography import x509

    try:
        subject = x509.load_pem_x509_csr(pem).subject
    except ValueError:
        return []  # the signer will say so
    return [str(a.value) for a in subject.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME)]


def is_approved(request: Object) -> bool:
    """Whether somebody has approved it and it has neither been denied nor answered."""
    status = request.get("status") or {}
    kinds = {c.get("type") for c in status.get("conditions") or ()}
    return "Approved" in kinds and kinds.isdisjoint(("Denied", "Failed")) and not status.get("certificate")


def issue(directory: Path, request: Object) -> bytes | None:
    """The certificate in PEM for a request to one of our signers; None for another's.

    Raises ValueError, with a sentence for the status, for a request that the signer does not sign.
    """
    from cryptography import x509

    from isthmus.engine.auth import pki

    spec = request["spec"]
    if spec["signerName"] not in (CLIENT, KUBELET):
        return None
    wanted = set(spec["usages"])
    if "client auth" not in wanted or not wanted <= USAGES:
        raise ValueError(f"usages must be client auth and of {sorted(USAGES)}, not {sorted(wanted)}")
    parsed = x509.load_pem_x509_csr(certificates.pem(spec))
    if not parsed.is_signature_valid:
        raise ValueError("the request is not signed by its own key")
    _check_subject(parsed)
    if spec["signerName"] == KUBELET:
        _check_kubelet(parsed)
    seconds = spec.get("expirationSeconds")
    lifetime = LONGEST if seconds is None else min(LONGEST, datetime.timedelta(seconds=seconds))
    try:
        return pki.Authority(directory).sign(parsed, lifetime)
    except TypeError as error:
        raise ValueError(str(error)) from error


def _check_subject(request: "x509.CertificateSigningRequest") -> None:
    """The subject becomes a user: it must name one, and in a form that the authority can sign."""
    from cryptography import x509

    if not request.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME):
        raise ValueError("the subject of the request has no common name")


def _check_kubelet(request: "x509.CertificateSigningRequest") -> None:
    """Whoever may approve nodes makes nodes, and nobody else (kubernetes, pkg/apis/certificates, helpers.go)."""
    from cryptography import x509

    groups, names = (
        [str(a.value) for a in request.subject.get_attributes_for_oid(oid)]
        for oid in (x509.NameOID.ORGANIZATION_NAME, x509.NameOID.COMMON_NAME)
    )
    if groups != [NODES]:
        raise ValueError("subject organization is not system:nodes")
    if len(names) != 1 or not names[0].startswith(NODE) or names[0] == NODE:
        raise ValueError("subject common name does not begin with system:node:")
    if any(isinstance(extension.value, x509.SubjectAlternativeName) for extension in request.extensions):
        raise ValueError("subject alternative names are not allowed")
