from .page import Limits as Limits
from .write import write_report as write_report
