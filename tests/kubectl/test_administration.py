"""What an administrator does: certificates for people, health, rights, a rollout's state, scales."""

import base64
import json
import subprocess
import time


def test_a_person_gets_a_certificate_and_is_known_by_it(kubectl, tmp_path) -> None:
    key, csr, name = tmp_path / "k.pem", tmp_path / "r.pem", f"alice-{kubectl.namespace}"
    subject = ["-subj", "/O=devs/CN=alice"]
    request = ["openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(csr)]
    subprocess.run([*request, *subject], check=True, capture_output=True)
    signer = {"signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"], "expirationSeconds": 3600}
    spec = signer | {"request": base64.b64encode(csr.read_bytes()).decode()}
    api = {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest"}
    kubectl.apply(api | {"metadata": {"name": name}, "spec": spec})
    assert "Pending" in kubectl("get", "csr", name)
    kubectl("certificate", "approve", name)
    kubectl("wait", "csr", name, "--for=jsonpath={.status.certificate}", "--timeout=10s")
    assert "Approved,Issued" in kubectl("get", "csr", name)
    certificate = tmp_path / "c.pem"
    encoded = kubectl("get", "csr", name, "-o", "jsonpath={.status.certificate}")
    certificate.write_bytes(base64.b64decode(encoded))
    who = kubectl("auth", "whoami", f"--client-certificate={certificate}", f"--client-key={key}")
    assert "alice" in who and "devs" in who
    assert "Requesting User:" in kubectl("describe", "csr", name)
    kubectl("delete", "csr", name)


def test_a_denied_request_stays_without_a_certificate(kubectl, tmp_path) -> None:
    csr = tmp_path / "r.pem"
    request = ["openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "/dev/null", "-out", str(csr)]
    subprocess.run([*request, "-subj", "/CN=bob"], check=True, capture_output=True)
    spec = {"request": base64.b64encode(csr.read_bytes()).decode(), "usages": ["client auth"]}
    api = {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest"}
    name = f"bob-{kubectl.namespace}"
    kubectl.apply(
        api | {"metadata": {"name": name}, "spec": spec | {"signerName": "kubernetes.io/kube-apiserver-client"}}
    )
    kubectl("certificate", "deny", name)
    time.sleep(0.5)
    assert "Denied" in kubectl("get", "csr", name)
    kubectl("delete", "csr", name)


def test_health_is_told_check_by_check(kubectl) -> None:
    assert kubectl("get", "--raw", "/livez") == "ok"
    assert "[+]etcd ok" in kubectl("get", "--raw", "/readyz?verbose")


def test_a_role_file_is_reconciled(kubectl) -> None:
    rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
    api = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role"}
    role = api | {"metadata": {"name": "r", "namespace": kubectl.namespace}, "rules": [rule]}
    kubectl("create", "role", "r", "--verb=list", "--resource=secrets")
    assert "reconciled" in kubectl("auth", "reconcile", "-f", "-", stdin=json.dumps(role))
    rules = kubectl.json("get", "role", "r")["rules"]
    assert [r["resources"] for r in rules] == [["secrets"], ["pods"]]


def test_a_deployment_shows_its_defaults_its_scale_and_its_autoscaler(kubectl) -> None:
    kubectl("create", "deployment", "web", "--image=nginx", "--replicas=3")
    assert "25% max unavailable, 25% max surge" in kubectl("describe", "deployment", "web")
    shown = kubectl("get", "deployment", "web", "--subresource=scale").split("\n")
    assert shown[0].split() == ["NAME", "DESIRED", "AVAILABLE", "AGE"] and shown[1].split()[:3] == ["web", "3", "0"]
    kubectl("autoscale", "deployment", "web", "--min=1", "--max=4", "--cpu=50%")
    assert "Deployment/web" in kubectl("get", "hpa", "web")
    kubectl("patch", "deployment", "web", "--subresource=scale", "--type=merge", "-p", '{"spec":{"replicas":1}}')
    assert kubectl.json("get", "deployment", "web")["spec"]["replicas"] == 1
    kubectl("rollout", "restart", "deployment", "web")
    assert "restartedAt" in kubectl("get", "deployment", "web", "-o", "yaml")
