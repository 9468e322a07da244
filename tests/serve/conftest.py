"""What needs the serve extra is left out where it is not installed."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("fastapi") and find_spec("httpx") else ["test_[!bl]*.py"]
