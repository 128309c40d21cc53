"""`authsec export` and `authsec apply`, as a platform engineer uses them, and the mistakes that are made in files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from authsec_server.app import open_authority
from authsec_server.cli import local
from click.testing import Result
from long_runs import some_rows_of

Authsec = Callable[..., Result]
File = Callable[[str], str]

THREE = """\
roles:
  support:
    name: Support
    actions: [customers:read, customers:delete]
agents:
  helper:
    name: Helper
    proofs:
      - platform: kubernetes
        selectors: {k8s:ns: production}
  open:
    proofs:
      - platform: unattested
delegations:
  helper-reads:
    agent: helper
    role: support
    actions: [customers:read]
"""


@pytest.fixture
def file(tmp_path_factory: pytest.TempPathFactory) -> File:
    """Writes a file of configuration: its name."""
    folder = tmp_path_factory.mktemp("files")

    def write(text: str, name: str = "authsec.yaml") -> str:
        path = folder / name
        path.write_text(text)
        return str(path)

    return write


def test_from_a_file_to_the_authority_and_back(authsec: Authsec, file: File) -> None:
    named = file(THREE)
    looked = authsec("apply", "-f", named, "--dry-run")
    assert looked.exit_code == 3
    assert "+ open  UNATTESTED" in looked.stdout
    assert "    proofs: + kubernetes k8s:ns=production" in looked.stdout
    assert looked.stdout.endswith("4 to create.\n")
    assert json.loads(authsec("roles", "list", "--json").stdout)["items"] == []
    unanswered = authsec("apply", "-f", named)
    assert (unanswered.exit_code, "--yes" in unanswered.stderr) == (1, True)
    done = authsec("apply", "-f", named, "--yes")
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, "Done: 4 created.")
    again = authsec("apply", "-f", named, "--yes", "--prune")
    assert (again.exit_code, again.stdout) == (0, "Nothing to change.\n")
    assert authsec("apply", "-f", named, "--dry-run").exit_code == 0
    exported = authsec("export").stdout
    assert list(yaml.safe_load(exported)) == ["roles", "agents", "delegations"]
    assert authsec("apply", "-f", file(exported), "--prune", "--dry-run").stdout == "Nothing to change.\n"
    as_json = authsec("export", "--json").stdout
    assert authsec("apply", "-f", file(as_json, "authsec.json"), "--dry-run").exit_code == 0
    assert authsec("export").stdout == exported


def test_what_goes_and_what_stops_is_said_before(authsec: Authsec, file: File) -> None:
    authsec("apply", "-f", file(THREE), "--yes")
    changed = THREE.replace("customers:delete]", "orders:read]").split("  open:")[0] + "delegations: {}\n"
    looked = authsec("apply", "-f", file(changed), "--prune", "--dry-run")
    assert "~ support\n    actions: + orders:read\n             - customers:delete\n" in looked.stdout
    assert "- open\n" in looked.stdout
    assert looked.stdout.endswith("1 to change, 2 to remove.\n")
    assert "What stops: 1 agent (open)" in looked.stderr or "What stops: 2 agents" in looked.stderr
    done = authsec("apply", "-f", file(changed), "--prune", "--yes")
    assert "delegations is empty in the files: with --prune, all 1 are removed" in done.stderr
    assert done.stdout.endswith("Done: 1 changed, 2 removed.\n")


def test_a_bot_reads_the_difference(authsec: Authsec, file: File) -> None:
    looked = authsec("apply", "-f", file(THREE), "--dry-run", "--json")
    told = json.loads(looked.stdout)
    assert looked.exit_code == 3
    first = told["changes"][0]
    assert (first["verb"], first["section"], first["slug"]) == ("create", "roles", "support")
    assert told["would_stop"] is None
    done = json.loads(authsec("apply", "-f", file(THREE), "--yes", "--json").stdout)
    assert done["changes"] == told["changes"]


def test_many_files_and_folders_are_one_document(authsec: Authsec, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder: Path = tmp_path_factory.mktemp("agents")
    (folder / "a.yaml").write_text("agents:\n  one:\n    proofs: [{platform: unattested}]\n")
    (folder / "b.yml").write_text("---\nagents:\n  two:\n    proofs: [{platform: unattested}]\n---\nroles: {}\n")
    (folder / ".hidden.yaml").write_text("nonsense")
    (folder / "README.md").write_text("nonsense")
    assert authsec("apply", "-f", str(folder), "--yes").stdout.endswith("Done: 2 created.\n")
    other = folder / "c" / "c.yaml"
    other.parent.mkdir()
    other.write_text("agents:\n  two:\n    proofs: [{platform: unattested}]\n")
    twice = authsec("apply", "-f", str(folder), "-f", str(other))
    assert twice.exit_code == 1
    assert f"{other}:2: agent two already occurs in {folder / 'b.yml'}:3." in twice.stderr


UNITLESS = """agents: {{x: {{proofs: [{{platform: unattested}}]}}}}
delegations: {{y: {{agent: x, role: r, actions: [a:b], max_duration: {}}}}}
roles: {{r: {{actions: [a:b]}}}}
"""


@pytest.mark.parametrize(
    ("text", "line", "says", "remedy"),
    some_rows_of([
        ("agents:\n  x:\n    proof: []\n    proofs: []\n", 3, "Unknown field 'proof'", "nearest is proofs"),
        ("agent: {}\n", 1, "Unknown field 'agent'", "nearest is agents"),
        ("agents:\n", 1, "agents is empty", "agents: {}"),
        ("agents:\n  x: {name: 12, proofs: []}\n", 2, "name must be a text, but is a number", 'name: "12"'),
        ("agents:\n  x:\n    name: true\n    proofs: []\n", 3, "but is a truth value", 'name: "true"'),
        ("agents:\n  x:\n    name: 1.10\n    proofs: []\n", "3:11", "1.10 is a number", '"1.10"'),
        ("agents:\n  x:\n    proofs: []\n    enabled: yes\n", 4, "true or false", "without quotes"),
        ("agents:\n  x:\n    name: X\n", 2, "proofs is missing", "All proofs"),
        ("agents:\n  x:\n    proofs: [{platform: k8s}]\n", 3, "platform must be 'kubernetes'", ""),
        ("agents:\n  x:\n    proofs: {}\n", 3, "must be a list", "hyphen"),
        ("agents:\n  x: {}\n  x: {}\n", "3:3", "occurs twice", "one of the two"),
        ("agents: &a\n  x: *a\n", "1:9", "Anchors and aliases", "Write the value out"),
        ("agents:\n  <<: {}\n", "2:3", "Merge keys", "Write the value out"),
        ("agents: !!python/object:os.system {}\n", "1:9", "The tag !!python/object:os.system is not", "Remove the tag"),
        ("agents: [\n", "2:1", "This is not YAML", "indentation"),
        ("agents: {x: {proofs: [{platform: key, public_key: '-BEGIN PRIVATE KEY-----'}]}}\n", 1, "PRIVATE", "keygen"),
        ("roles:\n  r: {actions: [a:b, 'c']}\n", 2, "it has no colon", "resource:action"),
        (UNITLESS.format("30"), 2, "without a unit is in seconds: 30 is less than the minimum of 60", "30m"),
        (UNITLESS.format("'30'"), 2, "'30' is not a duration", "Add a unit: 30s, 30m, 30h or 30d."),
        (UNITLESS.format("soon"), 2, "'soon' is not a duration", "Write 90s, 30m, 1h or 7d"),
        (UNITLESS.format("-5"), 2, "is less than the minimum of 60", "Write 90s, 30m, 1h or 7d"),
        (UNITLESS.format("8 hours"), 2, "'8 hours' is not a duration", "Write 8h."),
        (UNITLESS.format("1h30m"), 2, "'1h30m' is not a duration", "Write 90m."),
        (UNITLESS.format("PT0.5H"), 2, "'PT0.5H' is not a duration", "Write 30m."),
        ("roles:\n  Sales Team: {actions: [a:b]}\n", 2, "This is not a slug", "Use the slug sales-team, and"),
        ("roles:\n\tr: {actions: [a:b]}\n", "2:1", "here is a tab", "spaces"),
        ("roles: {r: {actions: [\ta:b]}}\nagents:\n  \tx: {}\n", "3:3", "here is a tab", "spaces"),
        ("", "", "This file is empty", "Start with one of the sections issuers"),
    ]),
)  # fmt: skip
def test_a_mistake_is_told_with_its_line_and_what_would_be_right(
    authsec: Authsec, file: File, text: str, line: Any, says: str, remedy: str
) -> None:
    named = file(text)
    refused = authsec("apply", "-f", named, "--yes")
    assert refused.exit_code == 1, refused.output
    assert f"✗ {named}:{line}: " in refused.stderr or not line
    assert says in refused.stderr
    assert remedy in refused.stderr
    assert refused.stdout == ""


def test_what_windows_powershell_writes_by_itself_is_told_as_that(authsec: Authsec, file: File) -> None:
    named = file("")
    Path(named).write_text(THREE, encoding="utf-16")
    refused = authsec("apply", "-f", named)
    assert (refused.exit_code, "not UTF-8" in refused.stderr, "Out-File" in refused.stderr) == (1, True, True)
    Path(named).write_text(THREE, encoding="utf-8-sig")
    assert authsec("apply", "-f", named, "--yes").exit_code == 0


def test_words_that_yaml_once_took_for_something_else_are_texts(authsec: Authsec, file: File) -> None:
    named = file("roles:\n  no:\n    name: on\n    description: 12:30\n    actions: [yes:no]\n")
    assert authsec("apply", "-f", named, "--yes").exit_code == 0
    exported = authsec("export").stdout
    assert yaml.safe_load(exported)["roles"]["no"] == {"name": "on", "description": "12:30", "actions": ["yes:no"]}
    assert "name: 'on'" in exported, "whoever reads it by YAML 1.1 reads the same"


def test_all_mistakes_of_form_are_told_at_once(authsec: Authsec, file: File) -> None:
    text = "agents:\n  x: {proofs: [], label: {}}\n  y: {name: 1, proofs: []}\ndelegations:\n  z: {agent: x}\n"
    refused = authsec("apply", "-f", file(text))
    assert [line.split(":")[1] for line in refused.stderr.splitlines() if line.startswith("✗")] == ["2", "3", "5", "5"]


def test_the_schema_for_editors_knows_what_files_may_say(authsec: Authsec) -> None:
    schema = json.loads(authsec("apply", "--schema").stdout)
    assert list(schema["properties"]) == ["issuers", "apis", "roles", "agents", "delegations"]
    assert schema["$defs"]["AgentShape"]["required"] == ["proofs"]


def test_what_others_change_meanwhile_is_not_overrun(
    authsec: Authsec, file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    authsec("apply", "-f", file(THREE), "--yes")
    named = file(THREE.replace("name: Support", "name: Help desk"))

    def meanwhile(*command: str) -> Callable[..., None]:
        return lambda *_, **__: authsec(*command) and None

    where = "authsec_server.cli.configuration.confirm"
    monkeypatch.setattr(where, meanwhile("roles", "create", "Other", "--action", "a:b"))
    assert authsec("apply", "-f", named, "--yes").exit_code == 0, "it is still what was shown"
    named = file(THREE.replace("customers:delete", "orders:read"))
    monkeypatch.setattr(where, meanwhile("roles", "create", "Another", "--action", "a:b"))
    overtaken = authsec("apply", "-f", named, "--yes", "--prune")
    assert (overtaken.exit_code, "Somebody else made changes meanwhile" in overtaken.stderr) == (4, True)
    assert "- another" not in overtaken.stdout, "what was not shown is not removed"
    assert authsec("roles", "show", "another").exit_code == 0


def test_the_example_on_the_page_is_the_file_and_does_what_it_says(authsec: Authsec) -> None:
    root = Path(__file__).parents[3]
    file = root / "examples" / "authsec.yaml"
    page = (root / "docs" / "configuration.md").read_text()
    assert f"```yaml\n{file.read_text()}```" in page
    done = authsec("apply", "-f", str(file), "--yes")
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, "Done: 9 created.")
    shown = json.loads(authsec("agents", "show", "nightly-report", "--json").stdout)
    assert [proof["kind"] for proof in shown["proofs"]] == ["key_pair"]
    assert authsec("apply", "-f", str(file), "--prune", "--yes").stdout == "Nothing to change.\n"


def test_the_authority_is_opened_once_for_all_that_apply_asks(
    authsec: Authsec, file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    named, opened = file(THREE), list[object]()

    def counted(*args: Any, **options: Any) -> Any:
        opened.append(args)
        return open_authority(*args, **options)

    monkeypatch.setattr(local, "open_authority", counted)
    assert authsec("apply", "-f", named, "--yes").exit_code == 0
    assert len(opened) == 1
