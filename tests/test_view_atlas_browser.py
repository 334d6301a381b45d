"""The atlas as a reader meets it: its script runs in a real browser, with real clicks and keys, on a real scan."""

import re

import numpy as np
import pytest
from chromium import Chromium
from synthetic_plates import CLASSES, images

from minizf.data import Preprocess
from minizf.experiments import top9
from minizf.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU
from minizf.net import Net
from minizf.view.atlas import coarse, write_atlas
from minizf.view.normalise import BY_MAP, photograph

pytestmark = pytest.mark.browser

MAPS = {"relu1": 5, "relu2": 7, "relu3": 6, "relu4": 3}
SILENT = ("relu3", 4)
HEADING = "document.getElementById('layer-title').textContent"
STATUS = "document.getElementById('status').textContent"
CARDS = "[...document.querySelectorAll('#grid .map')].map((card) => Number(card.dataset.map))"
FOCUSED = "Number(document.activeElement.closest('.map')?.dataset.map ?? -1)"
LARGE = "document.getElementById('detail').open && document.getElementById('detail-title').textContent"
PLACES = (
    "[...document.querySelectorAll('#places button')].map((entry) => [entry.querySelector('span:not(.cell)').innerText, "
    "entry.dataset.layer, entry.dataset.map, entry.dataset.rank, entry.getAttribute('aria-current')])"
)


def four_blocks() -> Net:
    """Four convolutions on images of 22 x 17 pixels; one map of the third never answers."""
    rng = np.random.default_rng(3)
    body, before = [], 3
    for number, (layer, maps) in enumerate(MAPS.items(), 1):
        bias = np.zeros(maps, np.float32)
        if layer == SILENT[0]:
            bias[SILENT[1]] = -1e9
        weight = rng.standard_normal((maps, before, 3, 5 if number == 1 else 3), dtype=np.float32)
        body += [(f"conv{number}", Conv2d(weight, bias, 2 if number == 1 else 1, 1)), (layer, ReLU())]
        body += [("pool1", MaxPool2d(3, 2, 1))] if number == 1 else []
        before = maps
    body.append(("flatten", Flatten()))
    features = Net(body, (3, 22, 17)).shapes["flatten"][0]
    last = Linear(rng.standard_normal((len(CLASSES), features), dtype=np.float32), np.zeros(len(CLASSES), np.float32))
    return Net([*body, ("fc5", last)], (3, 22, 17))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The data set, its plates by layer as top9 made them, and the address of their page."""
    net = four_blocks()
    data = images(net, count=97)
    preprocess = Preprocess.fit(data, progress=False)
    winners = top9.scan(net, preprocess, data, list(MAPS), progress=False)
    plates = top9.plates_of(net, preprocess, data, winners, progress=False)
    path = tmp_path_factory.mktemp("atlas") / "atlas.html"
    write_atlas(path, net, plates.values(), data, progress=False)
    return data, plates, path.as_uri()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    browser = Chromium(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def reader(chromium, world):
    """The browser with the page freshly opened; whatever a test did to it, nothing may have gone wrong behind the scenes."""
    chromium.goto(world[2])
    yield chromium
    assert chromium.faults() == []


def choose(reader, which, value):
    """Picks an entry of one of the page's lists, as the browser's own menu would."""
    found = f"document.getElementById('{which}')"
    reader.evaluate(f"({found}.value = '{value}', {found}.dispatchEvent(new Event('change', {{ bubbles: true }})))")


def test_every_map_of_every_layer_has_its_card(reader, world):
    for number, (layer, maps) in enumerate(MAPS.items()):
        reader.click(f"#tabs button:nth-child({number + 1})")
        reader.until(f"{HEADING} === 'Layer {number + 1}: {maps} maps'")
        assert reader.evaluate(CARDS) == list(range(maps))
        assert reader.evaluate("location.hash") == f"#{layer}"
        selected = "[...document.querySelectorAll('#tabs button')].map((tab) => tab.getAttribute('aria-selected'))"
        assert reader.evaluate(selected) == [str(n == number).lower() for n in range(len(MAPS))]
        answers = (world[1][layer].winners.value > 0).sum(axis=1)
        cells = "[...document.querySelectorAll('#grid .map')].map((card) => card.querySelectorAll('.cell').length)"
        assert reader.evaluate(cells) == (2 * answers).tolist()
    assert "Silent" not in reader.evaluate("document.getElementById('grid').innerText")
    reader.press("3")
    assert "Silent" in reader.until(f"{HEADING}.startsWith('Layer 3') && document.querySelector('[data-map=\"4\"]').innerText")


@pytest.mark.parametrize(("layer", "place"), [("relu1", (3, 4)), ("relu2", (5, 8))])
def test_one_sees_the_projections_and_patches_of_the_plates(reader, world, layer, place):
    _, plates, address = world
    plate, (number, rank) = plates[layer], place
    reader.goto(f"{address}#{layer}/map/{number}")
    choose(reader, "contrast", 1)
    for kind, expected, close in [
        ("projection", coarse(BY_MAP(plate.projections))[number], 3),
        ("photograph", np.stack([photograph(patch) for patch in plate.patches[number]]), 22),  # noise, the worst case for JPEG
    ]:
        cell = f"#grid [data-map='{number}'] .cell.{kind}[data-rank='{rank}']"
        reader.until(f"(picture => picture && picture.complete && picture.naturalWidth)(document.querySelector(`{cell} img`))")
        seen = reader.picture(cell).astype(int)
        inside = plate.inside[number]
        high, wide = inside.shape[1:]
        rows = ((np.arange(high) + 0.5) * seen.shape[0] / high).astype(int)
        columns = ((np.arange(wide) + 0.5) * seen.shape[1] / wide).astype(int)
        far = [np.abs(seen[rows][:, columns] - picture)[inside[rank]].mean() for picture in expected]
        assert far[rank] < close
        assert np.argmin(far) == rank


def test_search_finds_maps_here_and_elsewhere_and_images(reader, world):
    data, plates, _ = world

    def search(words):
        # the event of an address just changed moves the focus to its map; it must not come between click and words
        reader.evaluate("new Promise((done) => setTimeout(done, 50))")
        reader.evaluate("document.getElementById('search').value = ''")
        reader.click("#search")
        reader.type(words)
        assert reader.evaluate("document.getElementById('search').value") == words
        reader.press("Enter")

    search("3")
    reader.until(f"location.hash === '#relu1/map/3' && {FOCUSED} === 3")
    search("2/6")
    reader.until(f"location.hash === '#relu2/map/6' && {HEADING}.startsWith('Layer 2') && {FOCUSED} === 6")
    search("map 0")
    reader.until(f"location.hash === '#relu2/map/0' && {FOCUSED} === 0")
    search("4/3")
    reader.until(f"{STATUS}.includes('Found no “4/3”')")
    assert reader.evaluate(HEADING).startswith("Layer 2")
    shown = {int(image) for plate in plates.values() for image in plate.winners.image[plate.winners.value > 0]}
    search(f"image {max(shown)}")
    assert CLASSES[data.labels[max(shown)]] in reader.until(LARGE)
    assert reader.evaluate("document.getElementById('detail-facts').innerText").count(data.image_name(max(shown))) == 1
    reader.press("Escape")
    absent = next(image for image in range(len(data)) if image not in shown)
    search(f"image {absent}")
    reader.until(f"{STATUS}.includes('Image {absent} is not among the strongest')")


@pytest.mark.parametrize(("layer", "number", "rank", "kind"), [("relu1", 1, 0, "projection"), ("relu3", 5, 7, "photograph")])
def test_a_click_lists_every_place_where_the_image_appears(reader, world, layer, number, rank, kind):
    data, plates, address = world
    reader.goto(f"{address}#{layer}")
    reader.click(f"#grid [data-map='{number}'] .{kind}[data-rank='{rank}']")
    image = int(plates[layer].winners.image[number, rank])
    assert reader.until(LARGE) == f"Layer {list(MAPS).index(layer) + 1}, map {number}: {CLASSES[data.labels[image]]}"
    expected = []
    for title, (name, plate) in enumerate(plates.items(), 1):
        for m, r in np.argwhere((plate.winners.image == image) & (plate.winners.value > 0)):
            here = str((name, m, r) == (layer, number, rank)).lower()
            expected.append([f"Layer {title}, map {m}", str(title - 1), str(m), str(r), here])
    told = reader.evaluate(PLACES)
    assert [[words.splitlines()[0], *rest] for words, *rest in told] == expected
    assert len(expected) > 1
    for words, index, m, r, _ in told:
        value = float(words.splitlines()[1].split(", ")[1])
        assert value == pytest.approx(plates[list(MAPS)[int(index)]].winners.value[int(m), int(r)], rel=0.05)
    facts = reader.evaluate("document.getElementById('detail-facts').innerText")
    plate = plates[layer]
    row, column = plate.winners.at[number, rank]
    assert f"row {row}, column {column}" in facts
    assert data.image_name(image) in facts
    assert float(re.search(r"Strength\s+([\d.]+),", facts)[1]) == pytest.approx(plate.winners.value[number, rank], rel=1e-3)
    at = "document.querySelector('.whole {}').getBoundingClientRect()"
    whole, box = reader.evaluate(f"[{at.format('img')}.toJSON(), {at.format('i')}.toJSON()]")
    top, left, bottom, right = plate.boxes[number, rank]
    assert (box["left"] - whole["left"]) / whole["width"] == pytest.approx(left / 17, abs=0.01)
    assert (box["top"] - whole["top"]) / whole["height"] == pytest.approx(top / 22, abs=0.01)
    assert box["width"] / whole["width"] == pytest.approx((right - left) / 17, abs=0.01)
    assert box["height"] / whole["height"] == pytest.approx((bottom - top) / 22, abs=0.01)
    other = next(i for i, (*_, here) in enumerate(expected) if here == "false")
    reader.click(f"#places button:nth-child({other + 1})")
    title, index, m, r, _ = expected[other]
    reader.until(f"({LARGE}).startsWith('{title}:')")
    assert reader.evaluate("location.hash") == f"#{list(MAPS)[int(index)]}/map/{m}/{int(r) + 1}"


def test_keys_move_between_layers_maps_and_pictures(reader, world):
    plates = world[1]
    reader.press("3")
    reader.until(f"{HEADING} === 'Layer 3: 6 maps'")
    reader.press("9")  # there is no such layer
    reader.press("j")
    assert reader.evaluate(FOCUSED) == 0
    reader.press("j", "j", "k")
    assert reader.evaluate(FOCUSED) == 1
    reader.press("ArrowRight", "ArrowRight", "ArrowLeft")
    assert reader.evaluate(FOCUSED) == 2
    across = int(reader.evaluate("document.getElementById('grid').style.getPropertyValue('--across')"))
    reader.press("ArrowDown")
    below = reader.evaluate(FOCUSED)
    assert below == min(2 + across, 5)
    reader.press("ArrowUp")
    assert reader.evaluate(FOCUSED) == below - across
    for _ in range(9):
        reader.press("k")
    assert reader.evaluate(FOCUSED) == 0
    reader.press("j", "j", "j", "Enter")
    assert reader.until(LARGE).startswith("Layer 3, map 3:")
    reader.press("ArrowRight")
    assert reader.evaluate("location.hash") == "#relu3/map/3/2"
    reader.press("ArrowLeft", "ArrowLeft")
    assert reader.evaluate("location.hash") == f"#relu3/map/3/{(plates['relu3'].winners.value[3] > 0).sum()}"
    reader.press("j")  # past the silent map 4
    assert reader.evaluate(LARGE).startswith("Layer 3, map 5:")
    reader.press("k", "k")
    assert reader.evaluate(LARGE).startswith("Layer 3, map 2:")
    reader.press("1", "Escape")
    reader.until(f"!({LARGE}) && {FOCUSED} === 2 && location.hash === '#relu3/map/2'")


def test_keys_for_search_and_help(reader):
    reader.press("/")
    reader.until("document.activeElement.id === 'search'")
    reader.type("2")
    reader.press("3")  # belongs to the words now
    assert reader.evaluate("document.getElementById('search').value") == "23"
    assert reader.evaluate(HEADING).startswith("Layer 1")
    reader.press("Escape")
    reader.until("document.activeElement.id !== 'search'")
    reader.press("?")
    reader.until("document.getElementById('help').open")
    reader.press("2")  # the page behind stays
    reader.press("Escape")
    reader.until("!document.getElementById('help').open")
    assert reader.evaluate(HEADING).startswith("Layer 1")
    reader.press("2")
    reader.until(f"{HEADING}.startsWith('Layer 2')")


def test_choosing_a_class_and_an_order(reader, world):
    data, plates, address = world
    reader.goto(f"{address}#relu4")

    plate = plates["relu4"]
    of_class = {m: np.flatnonzero(data.labels[plate.winners.image[m]] == 2).tolist() for m in range(MAPS["relu4"])}
    choose(reader, "class-filter", 2)
    shown = sorted((m for m in of_class if of_class[m]), key=lambda m: (-len(of_class[m]), m))
    assert reader.evaluate(CARDS) == shown
    for m in shown:
        bright = f"[...document.querySelectorAll(`#grid [data-map='{m}'] .projection:not(.other)`)].map((c) => +c.dataset.rank)"
        assert reader.evaluate(bright) == of_class[m]
    maps = f"{len(shown)} map{'s' if len(shown) != 1 else ''} of 3"
    assert reader.evaluate(STATUS) == f"{maps} with “{CLASSES[2]}” among the strongest."
    choose(reader, "class-filter", "")
    assert reader.evaluate("document.querySelectorAll('.other').length") == 0
    choose(reader, "order", "value")
    assert reader.evaluate(CARDS) == np.argsort(-plate.winners.value[:, 0]).tolist()
    choose(reader, "order", "purity")
    purity = [np.bincount(data.labels[row]).max() for row in plate.winners.image]
    assert reader.evaluate(CARDS) == np.argsort(-np.array(purity), kind="stable").tolist()


def test_a_class_that_no_map_answers_to_hides_all_until_a_map_is_asked_for(reader, world):
    data, plates, _ = world
    labels = data.labels[plates["relu1"].winners.image]
    hidden, label = next((m, c) for m in range(5) for c in range(4) if c not in labels[m])
    choose(reader, "class-filter", label)
    assert hidden not in reader.evaluate(CARDS)
    reader.evaluate(f"location.hash = 'relu1/map/{hidden}'")
    reader.until(f"{FOCUSED} === {hidden}")


def test_links_lead_to_a_layer_a_map_and_a_picture(reader, world):
    address = world[2]
    reader.goto(f"{address}#relu3/map/2")
    reader.until(f"{HEADING} === 'Layer 3: 6 maps' && {FOCUSED} === 2")
    top, bottom = reader.evaluate(
        "(b => [b.top, b.bottom])(document.querySelector('[data-map=\"2\"]').getBoundingClientRect())"
    )
    assert 0 <= top < bottom <= 900
    assert not reader.evaluate(LARGE)
    reader.goto(f"{address}#relu2/map/6/9")
    assert reader.until(LARGE).startswith("Layer 2, map 6:")
    current = "document.querySelector('#detail-strip [aria-current=true]').dataset.rank"
    assert reader.evaluate(current) == "8"
    for nowhere in ("relu9/map/1", "relu2/map/77", "relu3/map/4/1", "relu2/map/1/99", "%3Cscript%3E"):
        reader.goto(f"{address}#{nowhere}")
        reader.until(f"{CARDS}.length")
        assert not reader.evaluate(LARGE)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_on_a_phone_nothing_is_cut_off(reader, world, dark):
    reader.goto(f"{world[2]}#relu2/map/1/1", width=360, height=740, dark=dark)
    reader.until(LARGE)
    assert reader.evaluate("document.documentElement.scrollWidth") == 360
    assert reader.evaluate("document.getElementById('detail').scrollWidth") <= 360
    paper = reader.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", paper))) < 200) == dark


def test_what_goes_wrong_is_seen(chromium, tmp_path):
    """The browser tells of errors and of requests, so that the other tests' silence means something."""
    page = tmp_path / "page.html"
    page.write_text(
        "<!doctype html><script src='other.js'></script><img src='http://nowhere.invalid/a.png'><script>gone()</script>"
    )
    chromium.goto(page.as_uri())
    faults = " ".join(chromium.faults())
    for fault in ("other.js", "http://nowhere.invalid/a.png", "gone is not defined"):
        assert fault in faults
