"""The audit log is asked by names; what it does not know is refused, so it has to know all that it may hold."""

from __future__ import annotations

import importlib
import pkgutil
from enum import StrEnum

import authsec_server
from authsec_server.app.routes import NAMES
from authsec_server.outbound.failure import FailureReason


def test_every_reason_that_a_room_has_for_refusing_is_one_to_ask_for() -> None:
    for module in pkgutil.walk_packages(authsec_server.__path__, "authsec_server."):
        if ".migrations." not in module.name:
            importlib.import_module(module.name)
    refusing = [each for each in StrEnum.__subclasses__() if each.__module__.startswith("authsec_server.")]
    refusing = [each for each in refusing if each.__name__.endswith(("Reason", "Refusal"))]
    assert len(refusing) >= 8
    unknown = {
        f"{each.__module__}.{each.__name__}: {reason}"
        for each in refusing
        if each is not FailureReason  # why an outgoing request failed: no event's reason
        for reason in each
        if str(reason) not in NAMES.reasons
    }
    assert unknown == set()
