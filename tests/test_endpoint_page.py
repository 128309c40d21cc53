"""Pages about HTTP, followed by a machine: each of their commands is run, and answers what the page says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jwt
import pytest
from authsec.jose import PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

DOCS = Path(__file__).resolve().parents[1] / "docs"
# A block of commands, and the status and reason that the page promises after it, if any.
STEP = re.compile(r"^```(?:bash|sh)\n(.*?)^```(?:\n+→ `(\d{3})`(?: `(\w+)`)?)?", re.DOTALL | re.MULTILINE)
SHELL = shutil.which("dash") or "sh"  # dash has nothing but POSIX
END_OF_STEP = "=== end of step ==="


@pytest.mark.skipif(
    not all(map(shutil.which, ("bash", "curl", "openssl"))), reason="the page's commands need bash, curl and openssl"
)
@pytest.mark.parametrize("page", ["endpoint.md", pytest.param("oauth.md", marks=pytest.mark.soak), "admin-api.md"])
@pytest.mark.parametrize("database_option", ["sqlite"], indirect=True)  # what the pages show is the same on both
def test_every_command_of_the_page_answers_what_it_says(page: str, serve: Any, programs: Path, tmp_path: Path) -> None:
    its = serve()
    uv = tmp_path / "uv"  # the pages run their commands in a clone
    uv.write_text('#!/bin/sh\ntest "$1" = run && shift && exec "$@"\n', "utf-8")
    uv.chmod(0o755)
    steps = STEP.findall((DOCS / page).read_text("utf-8"))
    option, place = its.where
    environment = os.environ | {
        "AUTHSEC": its.url,
        "PATH": os.pathsep.join([str(tmp_path), str(programs), str(Path(sys.executable).parent), os.environ["PATH"]]),
        f"AUTHSEC_SERVER_{option.removeprefix('--').upper()}": place,
        "no_proxy": "127.0.0.1",
    }
    script = "set -e\n" + f"\necho '{END_OF_STEP}'\n".join(commands for commands, _, _ in steps)
    done = subprocess.run(
        ["bash", "-c", script], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    outputs = done.stdout.split(END_OF_STEP)
    for (commands, status, reason), output in zip(steps, outputs, strict=True):
        if status:
            answer = output[output.rindex("HTTP/1.1") :]
            assert answer.startswith(f"HTTP/1.1 {status} "), commands + output
            assert not reason or f'"reason":"{reason}"' in answer, commands + output


@pytest.mark.skipif(not all(map(shutil.which, ("sh", "openssl"))), reason="the recipe needs openssl")
@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_the_recipe_for_openssl_signs_as_jwt_libraries_verify(algorithm: str, tmp_path: Path) -> None:
    recipe = openssl_recipe()
    if algorithm == "RS256":
        recipe = recipe.replace("ES256", "RS256").replace("| raw", "")
    key = PrivateKey.generate_ec() if algorithm == "ES256" else PrivateKey.generate_rsa()
    (tmp_path / "key.pem").write_bytes(key.to_pem())
    environment = os.environ | {"AUTHSEC": "http://127.0.0.1:7468"}
    assertion = in_sh(f"{recipe}\nby_openssl key.pem night-owl", tmp_path, env=environment).decode("ascii").strip()
    public = jwt.PyJWK(dict(key.public.to_jwk()), algorithm).key
    claims = jwt.decode(assertion, public, [algorithm], audience=environment["AUTHSEC"])
    assert (claims["iss"], claims["sub"], claims["exp"] - claims["iat"]) == ("night-owl", "night-owl", 60)


@pytest.mark.skipif(not all(map(shutil.which, ("sh", "openssl"))), reason="the recipe needs openssl")
@pytest.mark.parametrize("numbers", [(1, 1 << 255), (0x80, 0xFFF), ((1 << 256) - 1, 1 << 200)])
def test_the_recipe_pads_the_numbers_of_a_signature(numbers: tuple[int, int], tmp_path: Path) -> None:
    """DER leaves out zeros at the beginning, which one signature of 128 has, and adds one before a high bit."""
    signature = encode_dss_signature(*numbers)
    expected = b"".join(number.to_bytes(32) for number in numbers)
    assert in_sh(f"{openssl_recipe()}\nraw", tmp_path, input=signature) == expected


def openssl_recipe() -> str:
    """The functions of the page's recipe, without its request."""
    (block,) = [
        commands for commands, _, _ in STEP.findall((DOCS / "oauth.md").read_text("utf-8")) if "raw()" in commands
    ]
    return block.partition("\ncurl ")[0]


def in_sh(script: str, folder: Path, **options: Any) -> bytes:
    done = subprocess.run([SHELL, "-c", script], cwd=folder, capture_output=True, timeout=60, check=False, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout
