"""The library: one module for each thing that a program, or a command, does with a ledger.

Called by programs (a service, a task of a scheduler) through the names of :mod:`batcher`, and by the command
line. Builds and runs the flows; prints nothing, reads no environment, handles no signals, and changes nothing
of the process that others share.
"""
