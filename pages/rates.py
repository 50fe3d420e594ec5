"""Rate cards."""

from dashboard.access import require
from dashboard.tables import nothing_here, page_head
from engine.users import Action

require(Action.SEE_RATES)
page_head("Rate cards")
nothing_here("construction", "This page is not drawn yet")
