from .export import Exported as Exported
from .export import export_session as export_session
from .session import Channel as Channel
from .session import Connection as Connection
from .session import Device as Device
from .session import Role as Role
from .session import Session as Session
from .session import describe_session as describe_session
