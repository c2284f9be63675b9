import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from isthmus.client import kubeconfig
from isthmus.lib.home import Home
from isthmus.operations import identities
from isthmus.operations.components import components

SERVER = "https://127.0.0.1:6443"


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path)
    home.pki.mkdir()
    identities.prepare(home, SERVER, components(home, 6443, ["n1"]))
    return home


def test_the_administrator_is_a_master_and_the_files_are_private(home):
    access = kubeconfig.load(home.kubeconfig)
    assert access.server == SERVER
    assert name_of(access) == ("kubernetes-admin", {"system:masters"})
    assert home.kubeconfig.stat().st_mode & 0o777 == 0o600
    assert all(key.stat().st_mode & 0o077 == 0 for key in home.pki.glob("*.key"))


def test_a_component_has_the_identity_that_the_table_gives_it(home):
    assert name_of(kubeconfig.load(home.component_kubeconfig("agent-n1"))) == ("system:node:n1", {"system:nodes"})
    assert not home.component_kubeconfig("apiserver").exists()


def test_a_second_time_changes_nothing(home):
    before = contents(home)
    identities.prepare(home, SERVER, components(home, 6443, ["n1"]))
    assert contents(home) == before


def test_another_port_is_written_into_the_kubeconfigs_and_keys_stay(home):
    certificate = kubeconfig.load(home.kubeconfig).certificate
    identities.prepare(home, "https://127.0.0.1:7443", components(home, 7443, ["n1"]))
    access = kubeconfig.load(home.kubeconfig)
    assert (access.server, access.certificate) == ("https://127.0.0.1:7443", certificate)
    assert kubeconfig.load(home.component_kubeconfig("controllers")).server == "https://127.0.0.1:7443"


def test_the_certificates_are_from_the_homes_own_authority_also_by_the_letter_of_rfc_5280(home):
    authority = x509.load_pem_x509_certificate((home.pki / "ca.crt").read_bytes())
    certificate = x509.load_pem_x509_certificate(kubeconfig.load(home.kubeconfig).certificate)
    certificate.verify_directly_issued_by(authority)
    # What Python 3.13 insists on by default (VERIFY_X509_STRICT):
    assert certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    assert authority.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign


def name_of(access):
    subject = x509.load_pem_x509_certificate(access.certificate).subject
    values = lambda oid: {a.value for a in subject.get_attributes_for_oid(oid)}  # noqa: E731
    return values(NameOID.COMMON_NAME).pop(), values(NameOID.ORGANIZATION_NAME)


def contents(home):
    return {path: path.read_bytes() for path in home.root.rglob("*") if path.is_file()}
