"""Timers that fire."""

from __future__ import annotations

from textual.timer import Timer


def surely(timer: Timer) -> Timer:
    """Make a timer for one call, which has just been made, fire also when it begins late.

    As it begins, Textual's timer leaves out calls whose time has passed. Of one call none is left,
    so on a busy machine, or with a wait of microseconds, what waits for it would wait for ever.
    """
    timer._skip = False  # no public method that makes timers has this parameter of their class
    return timer
