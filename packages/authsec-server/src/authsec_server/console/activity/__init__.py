"""Activity: the audit log as pages, as a live stream and as downloads.

| module | owns |
|---|---|
| `pages` | the audit log with its chart, its live stream, its downloads, and the page of one event |
| `query` | the filter of the page, the stream and the downloads, in a query string |
| `chips` | the active filters, each with a link that removes it |
| `text` | the text of an event: who did what, and the proof behind a token |
| `token_revocation` | find one token by its event, its `jti` or its text, and revoke it |
"""
