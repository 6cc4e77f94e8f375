"""Where a benchmark ran, and writing down what it printed."""

import os
import platform
from pathlib import Path

import torch

RESULTS = Path(__file__).parent / "results"


def machine() -> str:
    """Return processor, threads and versions in one line."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text().splitlines()
        names = [line.split(":")[1].strip() for line in lines if "model name" in line]
        cpu = names[0] if names else cpu
    return (
        f"{cpu}, {os.cpu_count()} cores, {torch.get_num_threads()} thread used, "
        f"Python {platform.python_version()}, torch {torch.__version__}"
    )


def write_tables(
    name: str, command: str, where: str, parts: list[str], *, keep: bool
) -> None:
    """Print Markdown, and keep it in results/ where `keep` says so."""
    text = "\n\n".join([f"Command: `{command}`", f"Machine: {where}", *parts]) + "\n"
    print(text)
    if keep:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.md").write_text(text)
