"""``python -m dit_clean`` is the command line."""

from dit_clean.cli import main

if __name__ == "__main__":
    main(prog_name="dit-clean")
