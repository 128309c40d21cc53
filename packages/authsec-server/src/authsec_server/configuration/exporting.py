"""Export the configuration as a document. The order is fixed, so that a small change makes a small diff.

The document contains no client secret, no private key, no enrolment code and no administrator.
"""

from __future__ import annotations

from collections.abc import Mapping

from authsec_server.configuration.kinds import agents, apis, delegations, issuers, roles
from authsec_server.configuration.model import Facts, Section
from authsec_server.configuration.reading import Present


def document_of(present: Present) -> Mapping[str, Mapping[str, Facts]]:
    """Return the current configuration as a document, by section and slug."""
    return {
        Section.ISSUERS.value: {slug: issuers.exported(its) for slug, its in sorted(present.issuers.items())},
        Section.APIS.value: {slug: apis.exported(its) for slug, its in sorted(present.apis.items())},
        Section.ROLES.value: {slug: roles.exported(its) for slug, its in sorted(present.roles.items())},
        Section.AGENTS.value: {slug: agents.exported(its, present) for slug, its in sorted(present.agents.items())},
        Section.DELEGATIONS.value: {
            slug: delegations.exported(its, present) for slug, its in sorted(present.delegations.items())
        },
    }
