"""Documents as PDF: sheets are set by typst with fonts of our own, so that every machine makes the same bytes."""
