"""An administrator of the database renames a role, so that its revocations are those of no token.

A revocation names the slug of a role; the events of tokens name the id. Readers look the slug up in the table `roles`.
"""

from __future__ import annotations

from typing import Any

import pytest
from sealed_estate import Sealed, sealed_estate


@pytest.fixture
def sealed(estate: Any) -> Sealed:
    return sealed_estate(estate)


def test_a_renamed_role_is_found(sealed: Sealed) -> None:
    _, found = sealed.after("UPDATE roles SET slug = 'another'")
    assert 'has the slug "another", but the events say' in found
