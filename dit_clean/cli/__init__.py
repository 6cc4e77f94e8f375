"""The command line: `dit-clean audit data.csv --label income --report audit.html`."""

from dit_clean.audit.extras import require

require("click", "The command line")
from dit_clean.cli.command import main  # noqa: E402

__all__ = ["main"]
