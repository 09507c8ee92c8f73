"""One thread for every test process: the suite runs several processes at once, and threads of theirs would fight for the cores."""

import os

os.environ["OMP_NUM_THREADS"] = "1"
