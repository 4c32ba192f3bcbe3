from .collection import (
    Collection as Collection,
)
from .collection import (
    SongFiles as SongFiles,
)
from .collection import (
    open_collection as open_collection,
)
