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


def pytest_ignore_collect(collection_path):
    """Tests of app/build are tests: pytest by itself passes over every folder of that name."""
    return False if collection_path.name == "build" and collection_path.is_dir() else None
