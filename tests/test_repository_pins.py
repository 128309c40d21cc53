"""scripts/renew_pins.py: what it makes of a lock file. Running it takes a package index, so that part is not tested."""

from __future__ import annotations

import runpy
from pathlib import Path

PINS = runpy.run_path(str(Path(__file__).resolve().parents[1] / "scripts" / "renew_pins.py"))
INDEX = {"registry": "somewhere"}
OLD, NEW = "python_full_version < '3.12'", "python_full_version >= '3.12'"
LOCK = {
    "package": [
        {"name": "ours", "version": "0.1.0", "source": {"editable": "packages/ours"}},
        {"name": "numpy", "version": "2.4.6", "source": INDEX, "resolution-markers": [OLD]},
        {"name": "numpy", "version": "2.5.1", "source": INDEX, "resolution-markers": [NEW, "sys_platform == 'win32'"]},
        {"name": "click", "version": "8.5.1", "source": INDEX},
    ]
}


def test_a_pin_has_a_marker_only_where_versions_differ() -> None:
    assert PINS["pins"](LOCK) == [
        "click==8.5.1",
        f"numpy==2.4.6 ; ({OLD})",
        f"numpy==2.5.1 ; ({NEW}) or (sys_platform == 'win32')",
    ]


def test_the_list_is_replaced_and_nothing_else() -> None:
    before = '[tool.uv]\nconstraint-dependencies = [\n  "click==8.0",\n]\n\n[tool.x]\nlist = [\n  "y",\n]\n'
    after = PINS["PINS"].sub(lambda _: PINS["as_toml"](["click==8.5.1"]), before)
    assert after == before.replace("8.0", "8.5.1")
    assert PINS["pins_of"](after) == {"click==8.5.1"}
