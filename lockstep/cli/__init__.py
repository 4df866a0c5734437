"""The `lockstep` command: a file for each group of sub-commands.

Each sub-command imports what it needs when it is called, so that `lockstep audit` waits for nothing
that only training needs.
"""
