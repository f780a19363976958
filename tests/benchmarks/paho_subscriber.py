"""The plain program that anyone would write: paho's own loop, MQTT 3.1.1, QoS 1, each message acknowledged by hand.

`python -m tests.benchmarks.paho_subscriber`; asked for with `port`, `client_id`, `topic` and how many come,
`count`. It keeps nothing.
"""

import threading
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.benchmarks import process

REPORTED = 1000  # messages


def main() -> None:
    asked = process.asked()
    client = paho.Client(
        CallbackAPIVersion.VERSION2, asked["client_id"], clean_session=False, protocol=paho.MQTTv311, manual_ack=True
    )
    taken = 0

    def on_connect(client: paho.Client, *_: Any) -> None:
        client.subscribe(asked["topic"], qos=1)

    def on_message(client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        nonlocal taken
        client.ack(message.mid, message.qos)
        taken += 1
        if not taken % REPORTED or taken == asked["count"]:
            process.report(taken)

    client.on_connect = on_connect
    client.on_message = on_message
    process.ready()
    client.connect("127.0.0.1", asked["port"])
    loop = threading.Thread(target=client.loop_forever)
    loop.start()
    process.wait_for_end()
    client.disconnect()
    loop.join()


if __name__ == "__main__":
    main()
