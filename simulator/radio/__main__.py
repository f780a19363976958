"""Runs the radio model against a broker: ``python -m simulator.radio --broker mqtt://127.0.0.1:1883``.

The environment's DOMINO_BROKER_URL stands in for ``--broker``, so that a password in it is in no process list.
"""

import argparse
import asyncio
import logging
import os
import sys
from pathlib import Path

from simulator.keys import read_keys
from simulator.radio import model, service
from simulator.radio.core import Core

log = logging.getLogger("simulator.radio")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m simulator.radio", description="A Sigfox network between air/ and sigfox/."
    )
    broker_url = os.environ.get("DOMINO_BROKER_URL")
    parser.add_argument(
        "--broker",
        default=broker_url,
        required=not broker_url,
        metavar="URL",
        help="mqtt://[USER:PASSWORD@]HOST[:PORT]",
    )
    parser.add_argument("--stations", type=int, default=5, metavar="N")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same stations, places and losses")
    parser.add_argument("--loss", type=float, default=0.0, metavar="P", help="a station misses a replica")
    parser.add_argument("--duplicates", type=float, default=0.0, metavar="P", help="a message is delivered twice")
    parser.add_argument("--max-delay-s", type=float, default=0.0, metavar="S", help="messages are late by up to this")
    parser.add_argument("--station-down", action="append", default=[], metavar="ID", help="may be repeated")
    parser.add_argument(
        "--listen-s", type=float, default=25.0, metavar="S", help="a button waits this long for an answer"
    )
    parser.add_argument(
        "--keys", type=Path, metavar="FILE", help="JSON of device id to network key, for those that radiate frames"
    )
    parser.add_argument("--verbose", action="store_true", help="log every message")
    options = parser.parse_args()
    logging.basicConfig(
        level=logging.DEBUG if options.verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
    )
    logging.getLogger("asyncio").setLevel(logging.INFO)
    try:
        broker = service.BrokerAddress.parse(options.broker)
        core = Core(
            seed=options.seed,
            stations=options.stations,
            down=options.station_down,
            impairments=model.Impairments(options.loss, options.duplicates, options.max_delay_s),
            listen_s=options.listen_s,
            keys=read_keys(options.keys) if options.keys else {},
        )
    except ValueError as error:
        parser.error(str(error))
    try:
        asyncio.run(service.serve(broker, core, on_ready))
    finally:
        log.info(
            "ended; %s", ", ".join(f"{name} {count}" for name, count in sorted(core.counters.items())) or "nothing came"
        )


def on_ready() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
