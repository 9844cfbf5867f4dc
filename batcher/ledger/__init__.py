"""The ledger: the record of what was asked and what came back."""
