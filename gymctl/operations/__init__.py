"""What each command does, as functions with typed arguments and results; ``gymctl`` exports the public ones.

Nothing here prints: progress is passed to an ``on_event`` function as the values of ``events``.
"""
