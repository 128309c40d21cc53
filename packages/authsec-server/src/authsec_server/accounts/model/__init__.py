"""The data types of `accounts`, and the rules that need no other data. No I/O."""
