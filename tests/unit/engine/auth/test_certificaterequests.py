"""From a request for a certificate to the certificate, over the API."""

import base64
import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

CSRS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
CLIENT = "kubernetes.io/kube-apiserver-client"
APPROVED = {"type": "Approved", "status": "True", "reason": "Checked"}


def request(user: str = "alice", *groups: str, signer: str = CLIENT, **spec):
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, g) for g in groups]
    subject = x509.Name([*names, x509.NameAttribute(NameOID.COMMON_NAME, user)])
    signed = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    encoded = base64.b64encode(signed.public_bytes(serialization.Encoding.PEM)).decode()
    spec = {"request": encoded, "signerName": signer, "usages": ["client auth"], **spec}
    return {"metadata": {"name": "r"}, "spec": spec}


async def decide(api, *conditions, code: int = 200, user: str = ""):
    found = await api("GET", f"{CSRS}/r", code=200)
    found["status"] = {"conditions": list(conditions)}
    return await api("PUT", f"{CSRS}/r/approval", found, code=code, user=user)


async def test_an_approved_request_becomes_a_certificate_of_its_subject_and_lifetime(api) -> None:
    made = await api("POST", CSRS, request("alice", "devs", expirationSeconds=7200), code=201)
    assert made["spec"]["username"] == "system:serviceaccount:default:root"
    assert "system:authenticated" in made["spec"]["groups"]
    await decide(api, APPROVED)
    status = (await api("GET", f"{CSRS}/r", code=200))["status"]
    certificate = x509.load_pem_x509_certificate(base64.b64decode(status["certificate"]))
    assert certificate.subject.rfc4514_string() == "CN=alice,O=devs"
    left = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta(hours=1.9) < left < datetime.timedelta(hours=2.1)
    assert status["conditions"][0]["lastUpdateTime"]


async def test_a_denied_request_and_one_of_another_signer_get_nothing(api) -> None:
    await api("POST", CSRS, request(), code=201)
    await decide(api, APPROVED | {"type": "Denied"})
    assert "certificate" not in (await api("GET", f"{CSRS}/r", code=200))["status"]
    await api("DELETE", f"{CSRS}/r", code=200)
    await api("POST", CSRS, request(signer="example.org/own"), code=201)
    await decide(api, APPROVED)
    assert "certificate" not in (await api("GET", f"{CSRS}/r", code=200))["status"]


async def test_a_request_that_the_signer_does_not_sign_fails_with_a_reason(api) -> None:
    await api("POST", CSRS, request(usages=["server auth"]), code=201)
    await decide(api, APPROVED)
    conditions = (await api("GET", f"{CSRS}/r", code=200))["status"]["conditions"]
    assert [c["type"] for c in conditions] == ["Approved", "Failed"] and "usages" in conditions[1]["message"]


async def test_a_request_for_an_administrator_is_refused(api) -> None:
    refused = await api("POST", CSRS, request("eve", "system:masters"), code=403)
    assert "system:masters group is not allowed" in refused["message"]


KUBELET = "kubernetes.io/kube-apiserver-client-kubelet"


@pytest.mark.parametrize(
    ("subject", "message"),
    [
        (("system:node:n", "system:masters"), "organization is not system:nodes"),
        (("system:node:n", "system:nodes", "system:masters"), "organization is not system:nodes"),
        (("admin", "system:nodes"), "does not begin with system:node:"),
        (("system:node:n", "system:nodes"), ""),
    ],
)
async def test_the_signer_of_kubelets_makes_nodes_only(api, subject, message) -> None:
    await api("POST", CSRS, request(*subject, signer=KUBELET), code=201)
    await decide(api, APPROVED)
    status = (await api("GET", f"{CSRS}/r", code=200))["status"]
    assert ("certificate" in status) == (not message)
    assert message in str(status["conditions"][-1].get("message"))


async def test_an_approver_needs_the_signer(api) -> None:
    rule = {"apiGroups": ["certificates.k8s.io"], "resources": ["*"], "verbs": ["get", "update"]}
    role = {"metadata": {"name": "half"}, "rules": [rule]}
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    await api("POST", f"{rbac}/clusterroles", role, code=201)
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "half"}
    binding = {"metadata": {"name": "half"}, "roleRef": reference, "subjects": [{"kind": "User", "name": "bob"}]}
    await api("POST", f"{rbac}/clusterrolebindings", binding, code=201)
    await api("POST", CSRS, request(), code=201)
    refused = await decide(api, APPROVED, code=403, user="bob")
    assert 'not permitted to approve requests with signerName "kubernetes.io' in refused["message"]


async def test_what_was_asked_for_stays(api) -> None:
    made = await api("POST", CSRS, request(), code=201)
    made["spec"]["username"] = "somebody-else"
    assert (await api("PUT", f"{CSRS}/r", made, code=200))["spec"]["username"] == "system:serviceaccount:default:root"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"request": "bm90aGluZw=="}, "PEM block type must be CERTIFICATE REQUEST"),
        ({"usages": []}, "spec.usages: Required value"),
        ({"signerName": "nothing"}, "must be a fully qualified domain and path"),
        ({"expirationSeconds": 60}, "may not specify a duration less than 600 seconds"),
    ],
)
async def test_a_malformed_request_is_refused(api, change, message) -> None:
    given = request()
    given["spec"] |= change
    refused = await api("POST", CSRS, given, code=422)
    assert message in refused["message"]
