"""A callback of a real Sigfox contract into a running service, beside its pages."""

import httpx2

from cloud.ingest.keys import read_keys
from tests.end_to_end.service import domino, domino_json, serving
from tests.sealing import callback, seal

DEVICE, DEVICE_ID, SECRET = "0012AB34", 0x12AB34, "a-secret-of-the-tests"


def test_a_callback_becomes_an_order_and_its_answer_comes_back(tmp_path):
    data_dir = tmp_path / "data"
    domino("button", "add", DEVICE, "--data-dir", str(data_dir))
    data_dir.joinpath("domino.toml").write_text(f'callback_secret = "{SECRET}"\n')
    with serving(data_dir, "--no-radio") as running:
        press = seal(device=DEVICE_ID, key=read_keys(data_dir / "master.key").device_key(DEVICE_ID, 0), counter=1)
        address = f"{running.http_url}/sigfox/callback"
        answer = httpx2.post(address, content=callback(DEVICE_ID, press), headers={"authorization": f"Bearer {SECRET}"})
        foreign = httpx2.post(address, content=callback(DEVICE_ID, press))
        page = httpx2.get(f"{running.http_url}/sign-in")
    assert (answer.status_code, list(answer.json())) == (200, [DEVICE])
    assert (foreign.status_code, page.status_code) == (401, 200)
    (button,) = domino_json("button", "list", "--data-dir", str(data_dir))
    assert button["last_counter"] == 1
    assert SECRET not in (data_dir / "serve.log").read_text()
