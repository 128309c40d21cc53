"""Whoever reads a log, the audit log or a copied database finds a code that is still open, and enrols a machine."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from authsec_server.clients import enrolment_service
from authsec_server.principal import Act
from laptops import Laptop, code_for, pod_of
from pages import get


def test_no_code_is_written_anywhere(house: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str], act: Act) -> None:
    its = house(local_operator=True)
    pod, laptop = pod_of(its), Laptop(its)
    used, refused, still_open = code_for(its, pod), code_for(its, pod), code_for(its, pod)
    assert laptop.enrols(pod, used).status_code == 201
    assert laptop.enrols(pod, refused, possession=laptop.possession(pod, used)).status_code == 400
    assert laptop.enrols(pod, refused, public_key=refused).status_code == 400
    assert laptop.enrols(pod, used).status_code == 403
    page = get(its.door(), path := f"/console/clients/{pod}/enrol").form(path).send()
    shown = page.html.partition("uv run authsec enrol ")[2][:39]
    again = get(its.door(), path)
    new = its.authority.database.change(lambda tx: enrolment_service.make(tx, act, pod, hours=1))
    said = "".join(capfd.readouterr())
    audit_log = json.dumps([asdict(recorded) for recorded in its.events()], default=str)
    stored = b"".join(file.read_bytes() for file in tmp_path.glob("authsec.sqlite3*")).decode("latin-1")
    assert "/authsec/v1/enrolments" in said
    for code in (used, refused, still_open, shown, new.code):
        assert len(code) == 39
        for text in (code, code.replace("-", ""), code.lower()):
            for where in (said, audit_log, stored, again.html, repr(new)):
                assert text not in where
