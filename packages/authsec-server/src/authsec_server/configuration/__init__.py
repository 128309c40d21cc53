"""The configuration as one document: export it, compare a document with it, and apply a document.

A document contains trusted issuers, APIs, roles, agents and trust delegations. The rules of these entities,
and the functions that change them, are in the domain packages. Applying a document calls the same functions
as a single change. The command line reads documents from files: see `cli`.

| module | owns |
|---|---|
| `document` | which members a document may have, their types and defaults |
| `kinds/` | export, compare, create, edit and remove one kind of entity; notes and warnings |
| `kinds/agents`, `kinds/proofs` | an agent; match the proofs of the document with the agent's current proofs |
| `planning` | which entities change and which are removed; unknown references; the limit of one document |
| `steps` | the order in which changes are made; the path in the document that an error names |
| `model` | the difference of one entity, field by field; what a document cannot change: slugs and kinds |
| `reading` | load the current configuration |
| `durations` | durations such as `30m` and `7d` |
| `api` | the operations: export, compare and apply; the expected version; one comparison at a time |
"""
