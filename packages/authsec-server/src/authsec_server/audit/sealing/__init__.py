"""The seal on the audit log: a log of event hashes, with signed tree checkpoints as in RFC 9162.

A separate key signs the checkpoints. The package `keys` owns this key.
Raw SQL can change an event. But it cannot change the signed checkpoints that cover the event.

| module | owns |
|---|---|
| `sealer`, `store` | when events are sealed, and by whom; the SQL of the sealed log |
| `unsealed` | which events one pass seals, and how many; which numbers are settled after it |
| `seal_places`, `number_history` | which seals are believed: their places, and what the sealer saw at its past passes |
| `sealable` | which events may be sealed; their leaf hashes, from the rows as they are stored |
| `checkpoints` | the claims and the signature of a checkpoint |
| `sinks` | send checkpoints to a file or an address; retries |
| `outside`, `restore_loss` | compare the database with checkpoints in a file; what a restored backup lost |
| `service`, `api` | newest checkpoint, sealed events and public keys over HTTP; when a seal is overdue |
| `verifying` | `authsec audit verify`: the order of all checks |
| `log_check`, `leaf_walk` | the tree must match each checkpoint; each leaf must match its event |
| `waiting`, `late_seals` | unsealed events that are suspicious; events that were sealed too late |
| `scan`, `scratch` | read all rows as stored, without an index; a private copy in another order |
| `count_check`, `last_use_check`, `name_check` | compare stored counts, last uses and names with the events |
| `revocation_check`, `table_check` | compare the table of revocations, and tables with a digest, with the events |
| `number_check` | compare the sequence of event numbers with the events and their seals |
| `count_rebuild` | `authsec audit rebuild-counts` |
| `exporting`, `lines`, `given` | a sealed export: contents and check; form of a line; an export with dropped events |
| `retention` | drop old months: what must be true before, and what is deleted |
| `dropped`, `drops` | the signed record of a drop; the rules that each drop must satisfy |
| `covering`, `uncounted` | which places drop records list; events that the counts then leave out |
| `succession` | which sealing key may sign which checkpoint, after a key was replaced |
| `restores` | the signed record of a restore, and which lost checkpoints the checks then leave out |
"""
