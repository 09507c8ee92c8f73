"""One thread for every test process: the suite runs several processes at once, and threads of theirs would fight for the cores."""

import os

from hypothesis import settings

os.environ["OMP_NUM_THREADS"] = "1"

# A deadline would be a verdict on time, and examples drawn anew would make one on luck: a suite says the same of the same code.
settings.register_profile("suite", deadline=None, derandomize=True)
settings.load_profile("suite")
