"""The fleet's pages: the list, its file, its views, and imports; who may do what, in both languages."""

import html
import re

import pytest
from httpx2 import Response
from starlette.testclient import TestClient

import cloud.audit.store
import cloud.fleet.store
from cloud import database
from cloud.accounts.model import Role
from cloud.fleet import imports, listing
from cloud.fleet.filters import Filter
from cloud.web import BODY_LIMIT
from tests.cloud.console.service import BUTTON, Service

FILE = "id;place;label\n00D1F3A7;35 Rennes;pilot\n00E10001;42 Saint-Étienne;lot 8\nxyz;35 Rennes;\n".encode()
CLEAN = "id,place,label\n00E10001,42 Saint-Étienne,lot 8\n00E10002,69 Lyon,lot 8\n".encode()


def csrf(page: str) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found
    return found[1]


def hidden(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]+)"', page)
    assert found, name
    return html.unescape(found[1])


def ids(page: str) -> list[str]:
    return re.findall(r'<tr tabindex="-1"><td><a class="mono" href="/buttons/(\w+)">', page)


def send(browser: TestClient, content: bytes, name: str = "lot.csv") -> Response:
    token = csrf(browser.get("/buttons/import").text)
    return browser.post("/buttons/import", data={"csrf": token}, files={"file": (name, content, "text/csv")})


def looked_at(browser: TestClient, content: bytes) -> tuple[str, str]:
    """The address of the dry run, and its page."""
    answer = send(browser, content)
    assert answer.status_code == 303, answer.text
    address = answer.headers["location"]
    return address, browser.get(address).text


def write(browser: TestClient, content: bytes, **more: str) -> tuple[str, Response]:
    address, page = looked_at(browser, content)
    return address, browser.post(
        f"{address}/write", data={"csrf": csrf(page), "digest": hidden(page, "digest"), **more}
    )


def fleet_ids(service: Service) -> set[int]:
    return {button.id for batch in listing.every(service.engine, Filter(), database.now()) for button in batch}


def test_the_list_is_filtered_by_its_address_and_each_filter_can_be_taken_off(service: Service):
    service.add_button(0x11, "42 Saint-Étienne")
    service.add_button(0x22, "69 Lyon")
    browser = service.browser()

    page = browser.get("/buttons?place=saint+etienne&claimed=no").text

    assert ids(page) == ["00000011"]
    assert "1 button<" in page
    assert "place has “saint etienne”" in page
    assert 'href="/buttons?claimed=no"><span class="hide">Take off' in page
    assert 'href="/buttons.csv?place=saint+etienne&amp;claimed=no"' in page
    assert "No button is like that" in browser.get("/buttons?department=2A").text


def test_a_form_with_empty_fields_leads_to_the_address_of_the_list(service: Service):
    answer = service.browser().get("/buttons?id=&place=lyon&state=&silent=7+J&sort=-place")
    assert answer.headers["location"] == "/buttons?place=lyon&silent=7d&sort=-place"


def test_what_a_filter_cannot_read_is_told_at_its_field(service: Service):
    page = service.browser().get("/buttons?silent=soon&id=xyz").text
    assert "Not heard in: A span back from now" in page
    assert re.search(r'name="id" value="xyz"[^>]*aria-invalid="true" aria-describedby="fault-id"', page)
    assert len(ids(page)) == 1


def test_columns_are_links_that_tell_their_order(service: Service):
    for device, place in ((1, "69 Lyon"), (2, "01 Belley"), (3, "35 Rennes")):
        service.add_button(device, place)
    browser = service.browser()

    page = browser.get("/buttons?sort=place").text

    assert [id[-1] for id in ids(page)][:1] == ["2"]
    assert 'aria-sort="ascending"><a href="/buttons?sort=-place"' in page
    assert page.count('aria-sort="none"') == 4
    assert 'aria-sort="descending"><a href="/buttons?sort=heard"' in browser.get("/buttons").text


def test_pages_lead_on_and_back(service: Service):
    with service.engine.begin() as conn:
        for device in range(1, 121):
            cloud.fleet.store.add(
                conn, id=device, place="35 Rennes", claim_code=str(device), now=database.now(), label="many"
            )
    browser, address, seen, page = service.browser(), "/buttons?label=many&sort=id", [], ""
    pages = []
    while address:
        page = browser.get(address).text
        pages.append(ids(page))
        seen += ids(page)
        following = re.search(r'rel="next" href="([^"]+)"', page)
        address = html.unescape(following[1]) if following else ""
    assert [int(id, 16) for id in seen] == list(range(1, 121))
    before = re.search(r'rel="prev" href="([^"]+)"', page)
    assert before
    assert ids(browser.get(html.unescape(before[1])).text) == pages[-2]
    assert "120 buttons" in page


@pytest.mark.parametrize("address", ["/buttons?after=x", "/buttons?before=~~", "/buttons?sort=place&after=00000001"])
def test_an_address_of_another_order_begins_at_the_start(service: Service, address: str):
    assert ids(service.browser().get(address).text) == [f"{BUTTON:08X}"]


def test_the_file_has_what_the_list_has_and_comes_in_again_as_nothing_to_do(service: Service):
    service.add_button(0x11, "=HYPERLINK(A1)")
    service.press()
    browser = service.browser(Role.ADMIN)

    answer = browser.get("/buttons.csv?lang=fr")

    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert re.fullmatch(r'attachment; filename="buttons-[\d-]+\.csv"', answer.headers["content-disposition"])
    assert answer.content.startswith(b"\xef\xbb\xbfid;place;label;")
    assert "00000011;'=HYPERLINK(A1);" in answer.text
    assert "00D1F3A7;35 Rennes;;35;active;no;20" in answer.text
    _, page = looked_at(browser, answer.content)
    assert "unchanged <b>2</b>" in page
    assert "There is nothing to write." in page
    assert "00000011" not in browser.get("/buttons.csv?department=35").text
    assert browser.get("/buttons.csv?id=xyz").status_code == 422


def test_a_view_is_saved_shared_listed_and_removed(service: Service):
    one, other = service.browser(), service.browser()
    token = csrf(one.get("/buttons").text)

    saved = one.post(
        "/buttons/views", data={"csrf": token, "name": "Silent <35>", "query": "department=35&silent=7d", "shared": "1"}
    )

    assert saved.headers["location"] == "/buttons?department=35&silent=7d"
    assert (
        'class="pick on" href="/buttons?department=35&amp;silent=7d">Silent &lt;35&gt;</a>'
        in one.get(saved.headers["location"]).text
    )
    seen = other.get("/buttons").text
    assert 'title="shared by N. Arnaud">Silent &lt;35&gt;</a>' in seen
    assert "/views/1/remove" not in seen
    removed = other.post("/buttons/views/1/remove", data={"csrf": csrf(seen)})
    assert removed.status_code == 404
    assert one.post("/buttons/views/1/remove", data={"csrf": token}).status_code == 303
    assert "Silent" not in re.sub(r">Silent<", "", other.get("/buttons").text)
    with database.reading(service.engine) as conn:
        assert [entry.action for entry in cloud.audit.store.newest(conn)] == ["fleet.remove view", "fleet.save view"]


def test_a_viewer_saves_views_for_themselves_alone(service: Service):
    viewer = service.browser(Role.VIEWER)
    page = viewer.get("/buttons").text
    assert "for all staff" not in page
    said = {"csrf": csrf(page), "name": "mine", "query": "state=active"}
    assert viewer.post("/buttons/views", data={**said, "shared": "1"}).status_code == 403
    assert viewer.post("/buttons/views", data=said).status_code == 303
    assert viewer.post("/buttons/views", data={**said, "name": " "}).status_code == 422


def test_a_dry_run_says_line_by_line_what_would_happen_and_writes_nothing(service: Service):
    browser = service.browser(Role.ADMIN)

    address, page = looked_at(browser, FILE)

    for kind, count in (("with faults", 1), ("new", 1), ("changed", 1), ("unchanged", 0)):
        assert f"{kind} <b>{count}</b>" in page
    assert re.search(r'<td class="num">4</td><td class="mono">xyz</td>.*No id: it has up to 8 hex digits', page)
    changed = browser.get(f"{address}?show=changed").text
    assert re.search(r"00D1F3A7</a></td><td>35 Rennes</td><td><ins>pilot</ins></td>", changed)
    assert "42 Saint-Étienne" in browser.get(f"{address}?show=new").text
    assert "No such line in this file." in browser.get(f"{address}?show=unchanged").text
    assert fleet_ids(service) == {BUTTON}


def test_lines_without_faults_are_imported_when_the_operator_says_so(service: Service):
    browser = service.browser(Role.ADMIN)
    _, refused = write(browser, FILE)
    assert refused.status_code == 422
    assert fleet_ids(service) == {BUTTON}

    _, done = write(browser, FILE, clean="true")

    assert done.status_code == 200
    assert "1 new, 1 changed, 0 unchanged, 1 left out" in done.text
    assert fleet_ids(service) == {BUTTON, 0x00E10001}


def test_claim_codes_are_in_one_download_and_claim_their_buttons(service: Service):
    browser = service.browser(Role.ADMIN)
    address, done = write(browser, CLEAN)
    said = {"csrf": csrf(done.text), "secret": hidden(done.text, "secret")}

    wrong = browser.post(f"{address}/codes", data={**said, "secret": "00" * 32})
    codes = browser.post(f"{address}/codes", data=said)
    again = browser.post(f"{address}/codes", data=said)

    assert (wrong.status_code, codes.status_code, again.status_code) == (409, 200, 409)
    assert codes.headers["cache-control"] == "no-store"
    head, *lines = codes.text.splitlines()
    assert head == "id,claim_code,place,label"
    assert [line.split(",")[0] for line in lines] == ["00E10001", "00E10002"]
    assert said["secret"] not in browser.get(address).text
    assert "The claim codes were handed out" in browser.get(address).text
    customer = service.cookie(Role.CUSTOMER)
    assert customer
    with service.engine.begin() as conn:
        claimed = cloud.fleet.store.claim(conn, claim_code=lines[1].split(",")[1], owner_id=1, now=database.now())
    assert claimed is not None
    assert claimed.id == 0x00E10002


def test_an_import_is_undone_from_its_page_and_tells_what_stays(service: Service):
    browser = service.browser(Role.ADMIN)
    address, done = write(browser, CLEAN)
    service.press(device=0x00E10001)

    undone = browser.post(f"{address}/undo", data={"csrf": csrf(done.text)})

    assert undone.headers["location"] == f"{address}?show=kept"
    page = browser.get(undone.headers["location"]).text
    assert "1 line was taken back. 1 stays, as it was used or changed since." in page
    assert re.search(r"00E10001.*heard since", page)
    assert fleet_ids(service) == {BUTTON, 0x00E10001}
    history = browser.get("/buttons/import").text
    assert re.search(r"lot\.csv.*undone.*1 kept", history)
    assert browser.post(f"{address}/undo", data={"csrf": csrf(done.text)}).status_code == 409


def test_a_fleet_that_changed_since_the_dry_run_is_shown_again_and_not_written(service: Service):
    browser = service.browser(Role.ADMIN)
    address, page = looked_at(browser, CLEAN)
    service.add_button(0x00E10001, "33 Bordeaux")

    answer = browser.post(f"{address}/write", data={"csrf": csrf(page), "digest": hidden(page, "digest")})

    assert answer.status_code == 409
    assert "The fleet has changed since this was shown" in answer.text
    assert fleet_ids(service) == {BUTTON, 0x00E10001}
    said = {"csrf": csrf(answer.text), "digest": hidden(answer.text, "digest")}
    assert browser.post(f"{address}/write", data=said).status_code == 200


def test_a_file_that_cannot_be_read_is_refused_where_it_was_chosen(service: Service):
    browser = service.browser(Role.ADMIN)
    answer = send(browser, "id,place\n1,35 Café\n".encode("latin-1"))
    assert answer.status_code == 422
    assert re.search(r'id="file-fault">.*Line 2 is not UTF-8', answer.text)
    french = browser.get("/buttons/import?lang=fr")
    assert "rien n’est écrit" in french.text
    token = csrf(french.text)
    missing = browser.post("/buttons/import", data={"csrf": token})
    assert "Aucun fichier n’a été choisi." in missing.text


def test_a_file_may_be_larger_than_other_forms_but_not_any_size(service: Service):
    browser = service.browser(Role.ADMIN)
    many = b"id\n" + b"\n" * (2 * BODY_LIMIT) + b"1\n"
    assert send(browser, many).status_code == 303
    assert send(browser, b"id\n" + b"\n" * 26_000_000).status_code == 413


def test_a_file_that_was_forgotten_is_gone(service: Service):
    browser = service.browser(Role.ADMIN)
    address, page = looked_at(browser, CLEAN)
    assert browser.post(f"{address}/drop", data={"csrf": csrf(page)}).headers["location"] == "/buttons/import"
    assert browser.get(address).status_code == 404
    assert browser.get("/buttons/imports/999").status_code == 404


def test_long_files_are_shown_a_hundred_lines_at_a_time(service: Service):
    browser = service.browser(Role.ADMIN)
    many = b"id,place\n" + b"".join(b"%x,35 Rennes\n" % n for n in range(1, 251))
    address, page = looked_at(browser, many)
    seen = []
    while True:
        seen += re.findall(r'<span class="mono">(\w{8})</span>', page)
        following = re.search(r'href="(/buttons/imports/\d+\?show=new&amp;after=\d+)"', page)
        if following is None:
            break
        page = browser.get(html.unescape(following[1])).text
    assert [int(id, 16) for id in seen] == list(range(1, 251))
    done = browser.post(f"{address}/write", data={"csrf": csrf(page), "digest": hidden(page, "digest")})
    assert done.text.count("<tr tabindex") == 100
    assert "after=101" in done.text


ADMIN_ALONE = ("/buttons/import", "/buttons/imports/1")
POSTS = (
    "/buttons/import", "/buttons/imports/1/write", "/buttons/imports/1/codes", "/buttons/imports/1/undo",
    "/buttons/imports/1/drop", "/buttons/views", "/buttons/views/1/remove",
)  # fmt: skip


def test_imports_are_for_admins_and_every_form_is_of_its_session(service: Service):
    admin, operator = service.browser(Role.ADMIN), service.browser()
    looked_at(admin, CLEAN)
    token = csrf(operator.get("/buttons").text)
    for path in ADMIN_ALONE:
        assert operator.get(path).status_code == 403
    for path in POSTS[:5]:
        assert operator.post(path, data={"csrf": token}).status_code == 403
    for path in POSTS:
        assert admin.post(path).status_code == 403
        assert admin.post(path, data={"csrf": token}).status_code == 403
        assert admin.post(path, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert service.browser(Role.POSTMAN).get("/buttons.csv").status_code == 403
    assert "/buttons/import" not in operator.get("/buttons").text
    with database.reading(service.engine) as conn:
        assert imports.find(conn, 1, database.now()).state is imports.ImportState.CHECKED


def test_the_pages_speak_french(service: Service):
    browser = service.browser(Role.ADMIN)
    browser.get("/buttons?lang=fr")
    page = browser.get("/buttons?silent=7d&battery=2400").text
    for words in ("muet ces 7 derniers jours", "pile sous 2400\u00a0mV", "0 bouton", 'value="7j"', "Vues enregistrées"):
        assert words in page
    address, dry = looked_at(browser, FILE)
    assert "Ce que ferait le fichier" in dry
    assert "Ce n’est pas un identifiant" in dry
    done = browser.post(
        f"{address}/write", data={"csrf": csrf(dry), "digest": hidden(dry, "digest"), "clean": "true"}
    ).text
    assert "1 nouvelles, 1 modifiées" in done
    assert "Télécharger les codes d’association" in done


def test_the_api_lists_by_the_same_words_and_leads_on(service: Service):
    for device in range(1, 6):
        service.add_button(device, "42 Saint-Étienne")
    script = service.script()

    first = script.get("/api/buttons?place=saint&sort=id&limit=3").json()
    rest = script.get(f"/api/buttons?place=saint&sort=id&limit=3&after={first['next']}").json()

    assert [int(one["id"], 16) for one in first["buttons"] + rest["buttons"]] == [1, 2, 3, 4, 5]
    assert rest["next"] is None
    assert (first["buttons"][0]["department"], first["buttons"][0]["label"]) == ("42", "")
    assert len(script.get("/api/buttons?offset=4").json()["buttons"]) == 2
    for wrong in ("silent=soon", "id=xyz", "sort=x", "after=x", "sort=place&after=00000001"):
        assert script.get(f"/api/buttons?{wrong}").status_code == 422
    added = script.post("/api/buttons", json={"id": "99", "label": "pilot"}).json()
    assert added["button"]["label"] == "pilot"
    assert [one["id"] for one in script.get("/api/buttons?label=pilot").json()["buttons"]] == ["00000099"]
