"""Finance overview."""

from dashboard.access import require
from dashboard.tables import nothing_here, page_head
from engine.users import Action

require(Action.SEE_FINANCE)
page_head("Finance overview")
nothing_here("construction", "This page is not drawn yet")
