"""What a job may spend: estimates, accounts, and the ledger."""
