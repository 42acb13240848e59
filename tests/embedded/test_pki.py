"""Certificates: who they are for, what they allow, and who can read the keys."""

import ssl
import stat
from pathlib import Path

from cryptography import x509

from podium.embedded.pki import Authority, write_secret


def test_a_client_certificate_names_the_user_and_the_groups() -> None:
    pair = Authority("ca").issue("system:node:node-1", ["system:nodes"])
    subject = x509.load_pem_x509_certificate(pair.certificate).subject.rfc4514_string()
    assert subject == "CN=system:node:node-1,O=system:nodes"


def test_a_client_certificate_is_no_server(tmp_path: Path) -> None:
    pair = Authority("ca").issue("someone")
    usage = x509.load_pem_x509_certificate(pair.certificate).extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    assert [purpose._name for purpose in usage.value] == ["clientAuth"]


def test_a_loaded_authority_signs_as_the_first(tmp_path: Path) -> None:
    authority = Authority("ca")
    pair = Authority.load(authority.pair).issue("server", hosts=["127.0.0.1", "localhost"])
    pair.write(tmp_path, "server")
    x509.load_pem_x509_certificate(pair.certificate).verify_directly_issued_by(
        x509.load_pem_x509_certificate(authority.pair.certificate)
    )
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
        tmp_path / "server.crt", tmp_path / "server.key"
    )


def test_keys_are_for_their_owner_only_even_where_a_file_was_open_to_all(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("old")
    path.chmod(0o644)
    write_secret(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
