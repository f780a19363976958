"""Turns the report of `pip install --report` into constraints: one line a package, name and version alone."""

import json
import re
import sys
from pathlib import Path

HEAD = """\
# Every package that pip may install here, direct or not, at the one version this project is tested with (Python 3.11).
# `make constraints` writes this file.
"""


def constraints(report: str) -> str:
    """No hashes and no addresses, so that any index and any platform may serve the file."""
    packages = {
        re.sub(r"[-_.]+", "-", item["metadata"]["name"]).lower(): item["metadata"]["version"]
        for item in json.loads(report)["install"]
        if "dir_info" not in item["download_info"]  # this project itself
    }
    return HEAD + "".join(f"{name}=={version}\n" for name, version in sorted(packages.items()))


if __name__ == "__main__":
    print(constraints(Path(sys.argv[1]).read_text()), end="")
