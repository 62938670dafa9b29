"""The specification, executable: one requirement a test, one sentence, no mechanism."""
