"""The progress bar of slow reads."""


def bar(total: int, label: str, progress: bool, unit: str = "img"):
    """A tqdm bar on stderr that shows itself after a second, only on a terminal, and clears itself when done."""
    from tqdm import tqdm  # 30 ms to import: only a reader that loads something pays

    return tqdm(
        total=total, desc=label, unit=unit, unit_scale=unit == "B", disable=None if progress else True, delay=1, leave=False
    )
