"""The audit log: who did what, and what the server decided. An event is recorded before the response is sent.

This package owns the events. Its subpackage `sealing` seals recorded events.
The package `revocations` owns the list of revocations.

| module | owns |
|---|---|
| `model`, `event_shape` | kinds of events and their fields; the members and lengths that a valid row may have |
| `shortening` | shorten the detail of an event that would exceed the length limit |
| `service` | record an event or a refusal; read events, with the reader's role checked |
| `store` | tables and indexes; convert an event to a row and a row to an event |
| `event_numbers` | the number of the next event; the highest number that a server may have taken |
| `event_batches` | the events of many token requests, inserted by one statement of the driver |
| `event_macs` | the MAC of an event: no event without it gets a seal |
| `refusal_counts` | refusals by the minute: which row counts a refusal, and when it is dated |
| `filters` | the fields of a filter; whether one new event matches it, for watchers |
| `pages` | the SQL of a list: the condition of each filter, order, paging, which index |
| `number_ranges` | event numbers of an hour, so that a filter by time reads few events |
| `unreadable_rows` | lists and sums that continue after an unreadable row |
| `views`, `api` | an event as JSON; the operation that lists events, and its query parameters |
| `export`, `live` | download as JSON or CSV; new events for watchers |
| `live_tokens` | tokens that are issued and not expired, by client or key |
| `counts`, `counting` | numbers for dashboards and last uses; the rules for counting requests, hours and last uses |
| `rollup` | store the counts: which events, how many at a time, when |
| `recount`, `count_rows`, `scratch_database` | count again from the events and compare with the stored rows |
| `partitions` | monthly partitions on PostgreSQL |
| `merkle_tree` | which bytes of an event are hashed; the tree over the hashes |
"""
