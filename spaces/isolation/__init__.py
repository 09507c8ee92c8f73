"""Isolation of a measurement from the program that calls it: from its settings, its threads and its random state.

A score is a function of the architecture, the seeds and the conditions that its cache key names. What a caller sets for its own
work (a default dtype or device, autocast, warnings as errors, the number of threads) and what it draws must not change a score, and
a measurement must not change them.

    settings       torch and numpy as in a new process with one thread
    random_state   the states of the global generators, compared and restored
    draws          what a network draws in a forward: functional dropout is switched off, everything else is refused
    postponed      what a network draws when it is constructed
    memory         memory that a network reads before it is written
"""
