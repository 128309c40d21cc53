"""Which APIs follow the feed, as far as the authority can know: what was seen at the feed, kept for all its servers.

Whoever reads the feed may say for which audiences (`AuthSec-Audience`). That is a claim, and shown as one, unless the
API's own credential came along. It changes nothing about the feed: it is told to people who are about to end something.
"""
