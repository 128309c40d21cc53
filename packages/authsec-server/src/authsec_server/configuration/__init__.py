"""The configuration as one document: export it, compare a document with it, and apply a document.

A document holds trusted issuers, APIs, roles, agents and trust delegations. Their rules and changes live in
the domain packages. Applying a document calls the same functions as a single change. The command line reads
documents from files: see `cli`.

| module | owns |
|---|---|
| `document` | which members a document may have, their types and defaults |
| `kinds/` | one kind of thing: what is exported, compared, created and edited; its notes and warnings |
| `kinds/agents`, `kinds/proofs` | an agent; which proofs of the document match the agent's present proofs |
| `planning` | which things change and which are removed; unknown references; the limit of one document |
| `steps` | the order in which changes are made; the place in the document that an error names |
| `model` | the difference of one thing, field by field |
| `reading`, `exporting` | load the present configuration; the order of an export |
| `immutables` | what a document cannot change: slugs, kinds, a disabled state |
| `durations` | `30m` and `7d` |
| `serialised` | how many comparisons run at the same time |
| `api` | the operations: size limit, expected version, questions to clusters before an apply |
"""
