from .catalogue import read_catalogue as read_catalogue
from .catalogue import rebuild_catalogue as rebuild_catalogue
from .mine_collection import mine_all as mine_all
