"""The proof of an artifact: audit, row independence, behaviour, parity, certificate."""
