"""The keys of AuthSec's PostgreSQL advisory locks. Each lock exists once per database."""

from __future__ import annotations

from typing import Final

AUTHORITY_LOCK: Final = 0x41757468_53656331  # "AuthSec1"
MIGRATION_LOCK: Final = AUTHORITY_LOCK + 1
NUMBERS_LOCK: Final = AUTHORITY_LOCK + 3  # to raise the sequence of event numbers: see audit/event_numbers
PARTITIONS_LOCK: Final = AUTHORITY_LOCK + 4  # to make or drop the partitions of months: see audit/partitions
SEALING_LOCK: Final = AUTHORITY_LOCK + 2  # to seal the audit log: see audit/sealing
MASTER_KEY_LOCK: Final = AUTHORITY_LOCK + 5  # to write what needs the master key: see keys/master_key_change
