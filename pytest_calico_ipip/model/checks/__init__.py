"""The requirements as functions: each compares one World's readings for one node or pair and returns a Judgement."""
