"""What people and machines read: words for judgements, the ledger of a run, its verdict. Values in, text out."""
