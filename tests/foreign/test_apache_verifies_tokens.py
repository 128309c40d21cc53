"""Apache's mod_oauth2 (Debian's `libapache2-mod-oauth2`) verifies delegation tokens by the authority's key set."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
from free_ports import free_port

APACHE = shutil.which("apache2", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")
MODULES = Path("/usr/lib/apache2/modules")
AUDIENCE = "https://crm.example.com"
SITE = """
ServerRoot {folder}
ServerName localhost
Listen 127.0.0.1:{port}
PidFile {folder}/pid
DefaultRuntimeDir {folder}
DocumentRoot {folder}/pages
ErrorLog {folder}/error.log
{user}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authn_core_module {modules}/mod_authn_core.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule authz_user_module {modules}/mod_authz_user.so
LoadModule oauth2_module {modules}/mod_oauth2.so
<Location "/">
    AuthType oauth2
    OAuth2TokenVerify jwks_uri {jwks_uri} verify.exp=required
    <RequireAll>
        Require oauth2_claim "iss:{issuer}"
        Require oauth2_claim "aud:{audience}"
    </RequireAll>
</Location>
"""


@pytest.fixture(scope="module")
def apache(serving: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, str]]:
    """An authority, and the URL of an Apache that trusts it."""
    if APACHE is None or not (MODULES / "mod_oauth2.so").exists():
        give_up = pytest.fail if "CI" in os.environ else pytest.skip
        give_up("mod_oauth2 is not installed here (apt-get install apache2-bin libapache2-mod-oauth2)")
    port = free_port()
    with tempfile.TemporaryDirectory() as made, serving(tmp_path_factory.mktemp("authority"), "") as serve:
        folder = Path(made)
        folder.chmod(0o755)  # as root, Apache serves as another user
        (folder / "pages").mkdir()
        (folder / "pages" / "index.html").write_text("let in")
        its = serve()
        metadata = urllib3.request("GET", f"{its.url}/.well-known/oauth-authorization-server").json()
        user = "User www-data\nGroup www-data" if os.getuid() == 0 else ""  # it refuses to serve as root
        site = SITE.format(
            folder=folder,
            port=port,
            user=user,
            modules=MODULES,
            jwks_uri=metadata["jwks_uri"],
            issuer=its.url,
            audience=AUDIENCE,
        )
        (folder / "httpd.conf").write_text(site)
        with (folder / "stderr.log").open("w") as log:
            process = subprocess.Popen([APACHE, "-DFOREGROUND", "-f", str(folder / "httpd.conf")], stderr=log)
        try:
            _await(port, process, folder)
            yield its, f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


def _await(port: int, process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        assert process.poll() is None, (folder / "stderr.log").read_text()
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError((folder / "stderr.log").read_text())


def test_it_lets_in_what_the_authority_signed_for_this_api(apache: tuple[Any, str]) -> None:
    its, url = apache
    agent = its.agent("Helper")
    role = its.role("Support", "customers:read")
    its.delegate(role, agent, "customers:read", audiences=[AUDIENCE, "https://other.example.com"])

    def token(audience: str) -> str:
        address = f"{its.url}/authsec/uflow/sdk/delegation-token"
        fields = {"client_id": agent.client_id, "resource": audience}
        return str(urllib3.request("GET", address, fields=fields).json()["token"])

    def status(token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return int(urllib3.request("GET", f"{url}/index.html", headers=headers, retries=False).status)

    good, other = token(AUDIENCE), token("https://other.example.com")
    assert status(good) == 200
    header, claims, signature = good.split(".")
    changed = json.loads(base64.urlsafe_b64decode(claims + "=="))
    forged = [
        "",
        f"{header}.{_part(changed | {'scope': 'customers:delete'})}.{signature}",
        f"{_part({'alg': 'none', 'typ': 'at+jwt'})}.{claims}.",
        f"{header}.{claims}.{signature[:-4]}AAAA",
        other,
    ]
    assert [status(each) for each in forged] == [401] * len(forged)
    assert status(good) == 200


def _part(members: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(members).encode()).rstrip(b"=").decode()
