"""What a user should read in the terminal, and not only in the rule's log."""

import logging

notice = logging.getLogger("seedbed.terminal")
"""Messages to it reach the log as any others; who runs a job shows them in the terminal as well."""
