"""TLS to a broker whose certificate is signed by the one CA in NVS: `ca`, in DER, and its length as `ca_size`.

Dates are checked against the board's clock, which begins with 1 January 2000 at every new battery. So the CA is to be
one of your own, and the broker's certificate valid from that day on and for longer than a button lives: what ends a
stolen key is a new CA in the buttons, not a date. A public CA's certificates, valid for weeks, would be refused.
"""

import ssl

from domino.link import Failed


def secured(plain, nvs, host):
    ca = bytearray(nvs.get_i32("ca_size"))
    nvs.get_blob("ca", ca)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_verify_locations(cadata=bytes(ca))
        return context.wrap_socket(plain, server_hostname=host)
    except (OSError, ValueError) as error:
        raise Failed("tls: %s" % error)
