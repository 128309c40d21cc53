"""The AuthSec authority: it knows the agents, what they may do, and issues the tokens that say so.

Rooms by capability, each with the same furniture (`model`, `store`, `service`, `api`); imports go down only.
`ARCHITECTURE.md` walks one token through the house.

| module | owns |
|---|---|
| `settings` | every number and address that an operator can set, with its default: lifetimes, limits, ports |
| `settings_errors` | what an operator reads about a wrong setting |
| `principal` | what viewers, operators and admins may do |
| `revisions` | two people edit one object: the check of the revision, the fields that changed |
| `naming`, `suggest` | names and slugs; the nearest name to a mistyped one |
| `failures` | the errors that every room raises |
| `private_files` | which files and folders may be read by others |
"""
