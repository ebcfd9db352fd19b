"""Many pairs: found by name or listed, carried out by the workers of a Dask cluster, kept with an index.

`pairing` and `manifest` say which pairs there are, `plan` which are still to be done, `work` is what a worker does
with one, `engine` hands the work out, `index` and `page` write what became of it. `run` is all of it in order.
"""

from .records import Outcome, Pair
from .run import batch

__all__ = ["Outcome", "Pair", "batch"]
