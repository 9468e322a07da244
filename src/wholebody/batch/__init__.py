"""Collections: millions of pictures and videos, in folders, archives and buckets, to Parquet (see docs/batch.md).

    from wholebody.batch import Settings, read, run

    if __name__ == "__main__":
        tally = run("s3://bucket/photos", "poses.parquet", Settings(pose="fast"))
        for result in read("poses.parquet"):
            print(result.id, result.error or len(result.poses))

Read in this order: `rows` (what comes out), `sources` (what goes in), `store` (why nothing is done twice), `decode`,
`estimate`, `local` (one machine), `ray` (many).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wholebody.batch.estimate import Settings as Settings
    from wholebody.batch.local import Tally as Tally
    from wholebody.batch.local import run as run
    from wholebody.batch.rows import Result as Result
    from wholebody.batch.sources import Columns as Columns
    from wholebody.batch.store import read as read

# When they are first used: processes that decode need little of it.
_HOME = {
    "Columns": "sources",
    "Tally": "local",
    "Result": "rows",
    "Settings": "estimate",
    "read": "store",
    "run": "local",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'wholebody.batch' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"wholebody.batch.{_HOME[name]}"), name)
    return value
