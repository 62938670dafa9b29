"""The pure core: records, expected state, comparison. No I/O, no pytest, no clock."""
