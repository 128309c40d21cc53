"""The AuthSec authority: it stores which agents exist and what each agent may do, and issues their tokens.

Each subpackage is a *room* for one capability, for example `clients`. A room has up to four layers: `api`,
`service`, `store` and `model`. `ARCHITECTURE.md` lists the rooms. A room imports only rooms further down that
list.

| module | owns |
|---|---|
| `settings` | every number and address that an operator can set, with its default: lifetimes, limits, ports |
| `settings_errors` | the messages about wrong settings |
| `principal` | who acts (administrator, admin key, server), and the roles viewer, operator and admin |
| `revisions` | edits of one object by two people: compare the revision, find the changed fields |
| `naming`, `suggest` | valid names and slugs; the known name that is most similar to a mistyped name |
| `failures` | the errors that every room raises |
| `private_files` | files with secrets: refuse a file or folder that other users can read or change |
"""
