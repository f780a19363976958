"""One target under atheris: libFuzzer with the coverage of our own code. Its options follow the target's name."""

import importlib
import logging
import sys

import structlog

atheris = importlib.import_module("atheris")  # of the extra `fuzz`: only `make fuzz` installs it

with atheris.instrument_imports(include=["cloud", "simulator"]):
    from tests.fuzz.targets import targets


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    target = targets()[sys.argv[1]]
    atheris.Setup([sys.argv[0], *sys.argv[2:]], target.run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
