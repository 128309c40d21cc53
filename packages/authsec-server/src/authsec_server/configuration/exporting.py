"""What there is as a document: sections and things in a fixed order, so that little differs where little changed.

It holds nothing that is secret: no client secret, no private key, no code of an enrolment, no administrator.
"""

from __future__ import annotations

from collections.abc import Mapping

from authsec_server.configuration.kinds import agents, apis, delegations, issuers, roles
from authsec_server.configuration.model import Facts, Section
from authsec_server.configuration.reading import Present


def document_of(present: Present) -> Mapping[str, Mapping[str, Facts]]:
    """All of it, by section and slug."""
    return {
        Section.ISSUERS.value: {slug: issuers.exported(its) for slug, its in sorted(present.issuers.items())},
        Section.APIS.value: {slug: apis.exported(its) for slug, its in sorted(present.apis.items())},
        Section.ROLES.value: {slug: roles.exported(its) for slug, its in sorted(present.roles.items())},
        Section.AGENTS.value: {slug: agents.exported(its, present) for slug, its in sorted(present.agents.items())},
        Section.DELEGATIONS.value: {
            slug: delegations.exported(its, present) for slug, its in sorted(present.delegations.items())
        },
    }
