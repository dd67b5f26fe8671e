"""What every test stands on."""

import os
import tempfile

# Tiny tensors gain nothing from a second thread, and threads of several processes on few cores wait for one another.
# Inherited by the processes that tests start; has to be set before torch is imported.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test asks a hub

# What tests and the processes that they start would keep in the user's cache goes when the last test has ended.
CACHE = tempfile.TemporaryDirectory(prefix="heirloom-tests-", ignore_cleanup_errors=True)
os.environ["HEIRLOOM_CACHE"] = CACHE.name
