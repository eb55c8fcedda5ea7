"""The embedded insights service: serves the v7 protocol on loopback from the user's own catalogue."""

import os

# Pictures are analysed in parallel, so each analysis must keep to one core: with BLAS threads of its own it takes 92 ms
# of CPU instead of 16. Read by numpy when it is first imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
