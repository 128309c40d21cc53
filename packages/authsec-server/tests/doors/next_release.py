"""The next release: a copy of the server with one more migration and a higher version. The product has no such file.

The migration adds a column to a table with a digest, an index and a table. The copy writes the column in each edit of a
role.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import authsec_server
from authsec_server.db.migrate import newest_revision
from authsec_server.db.releases import this_release
from processes import AUTHSEC

_MAJOR, _MINOR, *_ = this_release().split(".")
RELEASE = f"{_MAJOR}.{int(_MINOR) + 1}.0"
PROGRAM = [*AUTHSEC]  # never forked from this process, which has the modules of this release
REVISION = f"{int(newest_revision()) + 1:04}"

_MIGRATION = f'''"""What the next release needs."""

import os

from alembic import op
from sqlalchemy import Column, String

revision = "{REVISION}"
down_revision = "{newest_revision()}"
branch_labels = None
depends_on = None
oldest_release = "{_MAJOR}.{_MINOR}.0"


def upgrade() -> None:
    op.add_column("roles", Column("note", String(20), nullable=False, server_default=""))
    if os.environ.get("END_DURING_UPGRADE"):
        os._exit(9)
    op.create_index("ix_roles_note", "roles", ["note"])
    op.create_table("next_things", Column("id", String(36), primary_key=True))
'''
_SQLITE = {
    "index ix_roles_note of roles": "CREATE INDEX ix_roles_note ON roles(note)",
    "index sqlite_autoindex_next_things_1 of next_things": "",
    "table next_things": "CREATE TABLE next_things(id VARCHAR(36)NOT NULL,CONSTRAINT pk_next_things PRIMARY KEY(id))",
}
_POSTGRESQL = {
    "column next_things.id": "character varying(36) NOT NULL",
    "constraint pk_next_things of next_things": "PRIMARY KEY (id)",
    "index ix_roles_note of roles": "btree (note text_ops default)",
    "index pk_next_things of next_things": "UNIQUE PRIMARY btree (id text_ops default)",
    "table next_things": "permanent, stored by heap",
}
_ALL = """
import json, sys
from authsec.cli import main
for each in json.loads(sys.argv[1]):
    sys.argv[1:] = each
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise
"""


@dataclass(frozen=True, slots=True)
class NextRelease:
    """The folder of the copy, which is before the installed packages on the path of a process."""

    folder: Path

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables of a process of the next release."""
        return {"PYTHONPATH": str(self.folder)}

    def run(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the next release."""
        return self._run([*PROGRAM, *arguments], settings)

    def run_all(self, *commands: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run several commands in one process: to start a process takes longer than a command. Each must succeed."""
        return self._run([sys.executable, "-c", _ALL, json.dumps(commands)], {})

    def _run(self, command: Sequence[str], settings: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        its = {name: value for name, value in os.environ.items() if not name.startswith("AUTHSEC")}
        its |= {**self.environment, **settings}
        return subprocess.run(
            command, env=its, cwd=self.folder, capture_output=True, text=True, timeout=60, check=False
        )


def next_release(folder: Path) -> NextRelease:
    """Make the next release. This release may run on its schema."""
    package = folder / "authsec_server"
    shutil.copytree(Path(authsec_server.__file__).parent, package)
    (package / "db/migrations/versions" / f"{REVISION}_next.py").write_text(_MIGRATION)
    _listings(package / "db" / "listings")
    store = package / "roles" / "store.py"
    text = store.read_text("utf-8")
    for old, new in {
        '("changed_by", Text),\n': '("changed_by", Text),\n    Column("note", String(20), server_default=""),\n',
        "role.id), rows.write(roles, role))": 'role.id), rows.write(roles, role) | {"note": "next"})',
    }.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    store.write_text(text, "utf-8")
    installed = folder / f"authsec_server-{RELEASE}.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(f"Metadata-Version: 2.1\nName: authsec-server\nVersion: {RELEASE}\n")
    (installed / "entry_points.txt").write_text("[authsec.commands]\nserver = authsec_server.cli:register\n")
    return NextRelease(folder)


def _listings(folder: Path) -> None:
    later = json.loads((folder / "later_columns.json").read_text("utf-8"))
    (folder / "later_columns.json").write_text(json.dumps(later | {"roles": {"note": ""}}))
    sqlite = json.loads((folder / "sqlite.json").read_text("utf-8"))
    sqlite["objects"] |= _SQLITE
    place = ",CONSTRAINT pk_roles"  # SQLite puts an added column before the constraints
    definition = sqlite["objects"]["table roles"]
    sqlite["objects"]["table roles"] = definition.replace(place, f",note VARCHAR(20)DEFAULT '' NOT NULL{place}")
    (folder / "sqlite.json").write_text(json.dumps(sqlite))
    postgresql = json.loads((folder / "postgresql.json").read_text("utf-8"))
    objects = postgresql["objects"]
    like = objects["column authority.oldest_release"]  # of the same type, with the same default
    objects |= _POSTGRESQL | {"column roles.note": like}
    (folder / "postgresql.json").write_text(json.dumps(postgresql))
