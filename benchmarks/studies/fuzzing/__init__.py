"""The parts of the fuzz study: sound inputs, mutations of them, a sandbox and a judge."""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # before numpy: threads would not survive the forks
