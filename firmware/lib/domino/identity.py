"""Who this button is: what provisioning wrote into NVS, beside the counter, so that they live and die together."""


class Unprovisioned(Exception):
    """Nobody made this board a button, or its flash was wiped. It must send nothing: any counter may have been used."""


class Identity:
    def __init__(self, id, generation, key):
        self.id = id  # 0 to 2^32 - 1
        self.generation = generation  # of the key, 0 to 3
        self.key = key  # 16 bytes; never printed


def read(nvs):
    key = bytearray(16)
    try:
        if nvs.get_blob("key", key) == len(key):
            return Identity(nvs.get_i32("id") & 0xFFFFFFFF, nvs.get_i32("gen"), key)
    except OSError:
        pass
    raise Unprovisioned
