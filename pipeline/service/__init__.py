"""The embedded insights service: speaks v7 over loopback, answers from the user's own catalogue."""

import os

# Pictures are looked at in parallel, so each must keep to one core: BLAS threads of its own cost 92 ms CPU a picture
# instead of 16. Read by numpy when it is first imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
