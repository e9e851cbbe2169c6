"""The explorer: a page on this computer on which doses are moved and curves answer."""
