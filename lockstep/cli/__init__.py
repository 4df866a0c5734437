"""The `lockstep` command: one file for each group of sub-commands.

A sub-command imports its libraries when it is called. So `lockstep audit` starts without the
libraries of training.
"""
