"""Where the firmware may touch hardware."""

import ast
from pathlib import Path

LIBRARY = Path(__file__).parents[2] / "firmware/lib/domino"
HARDWARE = {"machine", "esp", "esp32", "network", "socket", "ssl", "select", "bluetooth", "neopixel", "espnow"}


def imported(source: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("__import__", "exec", "eval"), source
    return found


def test_nothing_but_the_board_and_the_links_imports_hardware():
    touching = {str(source.relative_to(LIBRARY)) for source in LIBRARY.rglob("*.py") if imported(source) & HARDWARE}
    assert touching == {"board.py", "link/mqtt.py", "link/tls.py", "link/wifi.py"}  # wisol.py is given its UART
