from __future__ import annotations

import socket
from pathlib import Path

import pytest

from skep.server.binding import bind, require_safe_bind, require_usable_tls, url_of
from skep.server.interfaces import AddressUnusableError, PortTakenError, RemoteBindRefusedError, TlsFilesError
from skep.settings import ServerSettings


@pytest.mark.parametrize(
    "server",
    [
        ServerSettings(),
        ServerSettings(host="::1"),
        ServerSettings(host="localhost"),
        ServerSettings(host="127.0.0.2"),
        ServerSettings(host="0.0.0.0", allow_remote=True),
        ServerSettings(host="0.0.0.0", tls_certificate=Path("cert.pem"), tls_key=Path("key.pem")),
    ],
)
def test_safe_addresses(server: ServerSettings) -> None:
    require_safe_bind(server)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.5", "skep.lan", "2130706433.example"])
def test_other_machines_need_tls_or_a_word(host: str) -> None:
    with pytest.raises(RemoteBindRefusedError) as caught:
        require_safe_bind(ServerSettings(host=host))
    assert caught.value.exit_code == 3
    assert "tls_certificate" in caught.value.fix_text


def test_half_of_tls_is_none() -> None:
    with pytest.raises(RemoteBindRefusedError):
        require_safe_bind(ServerSettings(host="0.0.0.0", tls_certificate=Path("cert.pem")))


def test_a_taken_port_is_said() -> None:
    with bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(PortTakenError, match=f"127.0.0.1:{port}"):
            bind("127.0.0.1", port)


@pytest.mark.parametrize("host", ["203.0.113.7", "no such host.invalid"])
def test_an_address_that_is_not_ours_is_said(host: str) -> None:
    with pytest.raises(AddressUnusableError, match="cannot listen"):
        bind(host, 0)


@pytest.mark.parametrize(
    ("server", "host"),
    [
        (ServerSettings(), "http://127.0.0.1:"),
        (ServerSettings(host="localhost"), "http://localhost:"),
        (ServerSettings(host="0.0.0.0"), "http://127.0.0.1:"),
        (ServerSettings(tls_certificate=Path("cert.pem"), tls_key=Path("key.pem")), "https://127.0.0.1:"),
    ],
)
def test_the_address_to_open(server: ServerSettings, host: str) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1" if server.host == "localhost" else server.host, 0))
        assert url_of(server, listener) == f"{host}{listener.getsockname()[1]}"


def test_files_that_are_no_certificate_are_said(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("no certificate")
    for key in ("cert.pem", "none.pem"):
        server = ServerSettings(tls_certificate=tmp_path / "cert.pem", tls_key=tmp_path / key)
        with pytest.raises(TlsFilesError, match=key):
            require_usable_tls(server)
    require_usable_tls(ServerSettings())
