"""What Pods and VMIs refer to."""

from isthmus.engine.auth import references

SECRET, CONFIGMAP, ACCOUNT = "secrets", "configmaps", "serviceaccounts"


def test_a_pod_refers_to_secrets_by_volumes_variables_and_pulls():
    spec = {
        "serviceAccountName": "sa",
        "imagePullSecrets": [{"name": "pull"}],
        "containers": [
            {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "env", "key": "k"}}}, {"name": "B"}]},
            {"envFrom": [{"secretRef": {"name": "from"}}, {"configMapRef": {"name": "c-from"}}]},
        ],
        "initContainers": [{"env": [{"valueFrom": {"configMapKeyRef": {"name": "c-init"}}}]}],
        "ephemeralContainers": [{"envFrom": [{"secretRef": {"name": "eph"}}]}],
        "volumes": [
            {"name": "1", "secret": {"secretName": "vol"}},
            {"name": "2", "configMap": {"name": "c-vol"}},
            {"name": "3", "projected": {"sources": [{"secret": {"name": "proj"}}, {"configMap": {"name": "c-proj"}}]}},
            {"name": "4", "csi": {"nodePublishSecretRef": {"name": "csi"}}},
            {"name": "5", "emptyDir": {}},
        ],
    }
    secrets = {(SECRET, n) for n in ("pull", "env", "from", "eph", "vol", "proj", "csi")}
    configmaps = {(CONFIGMAP, n) for n in ("c-from", "c-init", "c-vol", "c-proj")}
    assert references.of_pod({"spec": spec}) == secrets | configmaps | {(ACCOUNT, "sa")}


def test_a_machine_refers_to_secrets_by_cloud_init_credentials_images_and_volumes():
    spec = {
        "domain": {"firmware": {"kernelBoot": {"container": {"imagePullSecret": "boot"}}}},
        "accessCredentials": [
            {"sshPublicKey": {"source": {"secret": {"secretName": "keys"}}}},
            {"userPassword": {"source": {"secret": {"secretName": "words"}}}},
        ],
        "volumes": [
            {"cloudInitNoCloud": {"secretRef": {"name": "ci"}, "networkDataSecretRef": {"name": "net"}}},
            {"cloudInitConfigDrive": {"secretRef": {"name": "cd"}}},
            {"sysprep": {"secret": {"name": "sys"}}},
            {"sysprep": {"configMap": {"name": "c-sys"}}},
            {"containerDisk": {"image": "x", "imagePullSecret": "pull"}},
            {"serviceAccount": {"serviceAccountName": "sa"}},
            {"persistentVolumeClaim": {"claimName": "c"}},
        ],
    }
    secrets = {(SECRET, n) for n in ("boot", "keys", "words", "ci", "net", "cd", "sys", "pull")}
    assert references.of_machine({"spec": spec}) == secrets | {(CONFIGMAP, "c-sys"), (ACCOUNT, "sa")}


def test_what_has_not_the_shape_of_a_spec_refers_to_nothing():
    for spec in (
        None,
        [],
        {"volumes": {"secret": 1}, "containers": [None, 3, {"env": "x"}]},
        {"imagePullSecrets": [1]},
    ):
        assert references.of_pod({"spec": spec}) == frozenset()
