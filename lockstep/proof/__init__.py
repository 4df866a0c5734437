"""What is proved about an artifact: audit, row independence, behaviour, parity, certificate."""
