"""`skep up` with a certificate: reachable for other machines, for those who trust it, and not without encryption."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

SOURCE = Path(__file__).resolve().parents[3] / "src"


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for this machine that signed itself, and its key."""
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=skep"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", str(key), "-out", str(chain)]
    subprocess.run([*command, *names], check=True, capture_output=True)
    return chain, key


def test_other_machines_are_served_over_tls_and_only_so(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    chain, key = certificate
    settings = {"SKEP_SERVER_TLS_CERTIFICATE": str(chain), "SKEP_SERVER_TLS_KEY": str(key)}
    skep = [sys.executable, "-m", "skep", "--data-dir", str(tmp_path / "data")]
    known = {**os.environ, "PYTHONPATH": str(SOURCE)}

    refused = subprocess.run(
        [*skep, "up", "--host", "0.0.0.0", "--port", "0"], env=known, capture_output=True, text=True, timeout=50
    )
    assert (refused.returncode, "tls_certificate" in refused.stderr) == (3, True), refused.stderr

    command = [*skep, "up", "--host", "0.0.0.0", "--port", "0", "--json"]
    with subprocess.Popen(command, env=known | settings, stdout=subprocess.PIPE, text=True) as up:
        try:
            assert up.stdout is not None
            said = json.loads(up.stdout.readline())
            port = httpx.URL(said["url"]).port
            secret = Path(said["key_file"]).read_text().strip()
            url, headers = f"https://127.0.0.1:{port}/api/v1/collections", {"authorization": f"Bearer {secret}"}
            trusting = ssl.create_default_context(cafile=str(chain))
            with httpx.Client(verify=trusting) as client:
                assert client.get(url, headers=headers).json() == {"collections": []}
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"), httpx.Client() as client:
                client.get(url, headers=headers)
            with pytest.raises(httpx.RemoteProtocolError), httpx.Client() as client:
                client.get(f"http://127.0.0.1:{port}/healthz")
        finally:
            up.send_signal(signal.SIGTERM)
            up.wait(25)
    assert said["url"].startswith("https://")
    assert subprocess.run([*skep, "down"], env=known, timeout=50, check=False).returncode == 0
