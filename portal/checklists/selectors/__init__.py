"""What pages, rows and commands read: frozen data, derived at read time from evidence and the clock."""

from portal.checklists.selectors.board import board
from portal.checklists.selectors.item import item_page, item_rows, item_state
from portal.checklists.selectors.load import State, load
from portal.checklists.selectors.phase import page_of, phase_page
from portal.checklists.selectors.status import status_page

__all__ = [
    "State",
    "board",
    "item_page",
    "item_rows",
    "item_state",
    "load",
    "page_of",
    "phase_page",
    "status_page",
]
