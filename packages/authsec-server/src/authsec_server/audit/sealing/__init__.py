"""The seal on the audit log: a log of event hashes, with signed tree checkpoints as in RFC 9162.

A separate key signs the checkpoints. The package `keys` owns this key.
Raw SQL can change an event. But it cannot change the signed checkpoints that cover the event.

| module | owns |
|---|---|
| `sealer`, `store` | when events are sealed, and by whom; the SQL of the sealed log |
| `unsealed` | which events one pass seals; up to which number no event can appear later |
| `scheduled_retention`, `retention_run`, `export_file` | the drop by a setting; its last run; a durable export |
| `drop_times` | when the authority needs the events of a month no more |
| `renewed_macs` | new MACs for the events that wait, when the master key is changed |
| `seal_places`, `number_history` | which places a genuine seal can have; event numbers and log sizes of past passes |
| `sealable` | which events may be sealed; their leaf hashes, from the rows as they are stored |
| `checkpoints` | the claims and the signature of a checkpoint |
| `sinks` | send checkpoints to a file or an address; retries |
| `log_end` | the number of seals, and the checkpoint that covers all of them |
| `outside`, `restore_loss` | compare the database with checkpoints in a file; what a restored backup lost |
| `checkpoint_file` | the last lines of that file |
| `service`, `api` | newest checkpoint, sealed events and public keys over HTTP; when a seal is overdue |
| `verifying` | `authsec audit verify`: the order of all checks |
| `log_check`, `leaf_walk` | the tree must match each checkpoint; each leaf must match its event |
| `waiting`, `late_seals` | unsealed events that are suspicious; events that were sealed too late |
| `overdue` | whether an event waits too long for its seal, and since when events wait, for dashboards and metrics |
| `scan`, `scratch` | read all rows as stored, without an index; a private copy for reads in another order |
| `count_check`, `last_use_check`, `name_check` | compare stored counts, last uses and names with the events |
| `revocation_check`, `table_check` | compare the table of revocations, and tables with a digest, with the events |
| `revoked_subjects` | the subjects whose tokens an event of a change revoked |
| `orphans` | each row that a foreign key refers to must exist |
| `parties` | each delegation of a token was created, and has one agent and one role |
| `ended_subjects`, `version_order` | no token of a subject that had ended; changes and versions must have one order |
| `row_states` | each principal has a row; what events revoked or disabled is so in its row |
| `table_writes` | an event excuses a token only if its change wrote to the table |
| `token_duplicates` | no two events issued one token; the request of a token has no other event |
| `database_check` | check the schema, catalogs and indexes of the database before any other read |
| `reader_check`, `proved_events` | ask the questions of readers; the answers that must come, from the proved events |
| `reader_questions`, `reader_sums` | the lists and the sums for which `reader_check` asks |
| `log_append` | write the leaves and the checkpoint of one pass |
| `pauses` | short pauses in a pass, so that a token does not wait for the interpreter |
| `range_check` | no number range of an hour is wider than the hour's events |
| `number_check` | compare the sequence of event numbers with the events and their seals |
| `count_rebuild` | `authsec audit rebuild-counts` |
| `exporting`, `lines`, `given` | a sealed export: contents and check; form of a line; an export with dropped events |
| `retention` | drop old months: what must be true before, and what is deleted |
| `dropped`, `drops` | the signed record of a drop; the rules that each drop must satisfy |
| `whole_changes` | which events a drop leaves, so that it removes all events of a change or none |
| `covering`, `uncounted` | which drop record lists a place; events that were recorded after the drop of their month |
| `succession` | which sealing key may sign which checkpoint, after a key was replaced |
| `restores` | the signed record of a restore; which missing checkpoints the checks accept |
"""
