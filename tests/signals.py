"""For tests that interrupt processes."""

import signal


def hear_interrupts() -> None:
    """Run in a child before its program: a shell has SIGINT ignored by what runs in background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
