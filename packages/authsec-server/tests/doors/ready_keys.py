"""Two RSA keys that modules of tests share: to make a key takes a tenth of a second, in each process that collects."""

from __future__ import annotations

from typing import Final

from authsec.jose import PrivateKey

OWN: Final = PrivateKey.generate_rsa()  # of the issuer or agent of a test
STRANGERS: Final = PrivateKey.generate_rsa()  # of somebody whom the test does not trust
