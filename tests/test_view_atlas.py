"""minizf.view.atlas: one page that needs nothing but itself, and shows each number and pixel in its place."""

import base64
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from synthetic_plates import CLASSES, images, plate, small_net

from minizf.layers import Rules
from minizf.view.atlas import coarse, photographs, script_json, write_atlas
from minizf.view.filters import filter_pictures
from minizf.view.normalise import BY_LAYER, BY_MAP, photograph
from minizf.view.sprites import lossy

VOID = {"meta", "link", "img", "input", "source", "br", "hr"}


class Page(HTMLParser):
    """A written atlas: its scripts' contents, its addresses and ids; tags must open and close in order."""

    def __init__(self, html: str):
        super().__init__(convert_charrefs=True)
        self.html, self.open, self.scripts, self.addresses, self.ids, self.text = html, [], {}, [], [], ""
        self.feed(html)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.addresses += [attrs[key] for key in ("src", "href", "srcset", "action", "data", "poster") if key in attrs]
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.name = attrs.get("id") or attrs.get("data-projections") or tag
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open[-1:] == [tag], f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts[self.name] = self.scripts.get(self.name, "") + data
        else:
            self.text += data

    def json(self, name):
        return json.loads(self.scripts[name])

    def picture(self, script, index) -> np.ndarray:
        return pixels(self.json(script)[index])


def pixels(encoded: str) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as image:
        return np.asarray(image.convert("RGB"))


@pytest.fixture(scope="module")
def world():
    net = small_net()
    data = images(net)
    return net, data, [plate(net, data, "relu1", seed=5), plate(net, data, "relu2", seed=6)]


@pytest.fixture(scope="module")
def page(world, tmp_path_factory):
    net, data, drawn = world
    path = tmp_path_factory.mktemp("atlas") / "atlas.html"
    size = write_atlas(path, net, iter(drawn), data, facts={"Accuracy <i>": "99 % & more"}, progress=False)
    assert path.stat().st_size == size
    return Page(path.read_text(encoding="utf-8"))


def test_it_needs_nothing_but_itself(page):
    assert not re.search(r"https?:|//[a-z0-9-]+\.[a-z]|@import|url\(", page.html)
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    assert "fetch(" not in page.html
    assert "XMLHttpRequest" not in page.html


def test_the_script_finds_what_it_asks_for(page):
    asked = set(re.findall(r'\$\("([a-z-]+)"\)', page.scripts["script"]))
    assert asked - {"filters"}
    assert asked <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))


def test_numbers_are_the_plates_own(page, world):
    net, data, drawn = world
    told = page.json("page")
    numbers = np.array([*told["images"], -1])  # place -1: no winner
    assert [layer["name"] for layer in told["layers"]] == ["relu1", "relu2"]
    for layer, expected in zip(told["layers"], drawn, strict=True):
        assert layer["maps"] == len(expected.projections) == net.shapes[expected.layer][0]
        assert layer["field"] == list(expected.projections.shape[-2:])
        assert np.allclose(layer["value"], expected.winners.value, rtol=1e-4)
        assert np.array_equal(numbers[np.array(layer["image"])], expected.winners.image)
        assert np.array_equal(np.stack([layer["row"], layer["column"]], -1), expected.winners.at)
        assert np.array_equal(np.stack([layer["top"], layer["left"]], -1), expected.boxes[..., :2])
        assert layer["silent"] == 1
    assert told["labels"] == data.labels[told["images"]].tolist()
    assert told["names"] == [data.image_name(i) for i in told["images"]]
    assert told["size"] == [22, 17]


def test_levels_move_nothing_far_and_keep_grey():
    every = np.arange(256, dtype=np.uint8)
    assert np.abs(coarse(every).astype(int) - every).max() == 2
    assert coarse(every)[128] == 128
    assert len(set(coarse(every).tolist())) == 65
    assert (np.diff(coarse(every).astype(int)) >= 0).all()


def test_every_map_has_its_nine_projections(page, world):
    for drawn in world[2]:
        high, wide = drawn.projections.shape[-2:]
        expected = coarse(BY_MAP(drawn.projections))
        assert len(page.json(drawn.layer)) == len(expected)
        for number, nine in enumerate(expected):
            sprite = page.picture(drawn.layer, number)
            assert sprite.shape == (3 * high, 3 * wide, 3)
            for rank, picture in enumerate(nine):
                top, left = (rank // 3) * high, (rank % 3) * wide
                assert np.array_equal(sprite[top : top + high, left : left + wide], picture)


def test_photographs_are_the_winning_images(page, world):
    _, data, drawn = world
    told = page.json("page")
    assert sorted({int(i) for p in drawn for i in p.winners.image.ravel() if i >= 0}) == told["images"]
    assert len(page.json("photographs")) == len(told["images"])
    for place in (0, 3, len(told["images"]) - 1):
        shown = page.picture("photographs", place).astype(int)
        meant = photograph(data.images([told["images"][place]]))[0]
        others = photograph(data.images([told["images"][place - 1]]))[0]
        assert np.abs(shown - meant).mean() < 20 < np.abs(shown - others.astype(int)).mean()  # noise, the worst case for JPEG


def test_photographs_come_in_batches_each_once(world, monkeypatch):
    monkeypatch.setattr("minizf.view.atlas.BATCH", 4)
    data = world[1]
    numbers = [0, 3, 4, 9, 10, 11, 12, 17, 22]
    assert list(photographs(data, numbers)) == [lossy(photograph(data.images([n]))[0]) for n in numbers]


def test_patches_can_be_cut_from_the_photographs(page, world):
    """What the page's style computes from box and field: the patch of the plate, where it lies in the image."""
    _, data, drawn = world
    for expected, layer in zip(drawn, page.json("page")["layers"], strict=True):
        _high, _wide = layer["field"]
        for place in [(0, 0), (1, 3), (3, 8)]:
            top, left = layer["top"][place[0]][place[1]], layer["left"][place[0]][place[1]]
            image = data.images([expected.winners.image[place]])[0]
            for y, x in np.argwhere(expected.inside[place]):
                assert np.array_equal(expected.patches[place][:, y, x], image[:, top + y, left + x])
            outside = np.argwhere(~expected.inside[place])
            assert all(not (0 <= top + y < 22 and 0 <= left + x < 17) for y, x in outside)


def test_filters_of_the_first_layer(page, world):
    net = world[0]
    told = page.json("filter-data")
    assert (told["layer"], told["count"], told["size"]) == ("relu1", 5, [3, 5])
    sprite = pixels(told["sprite"])
    for i, picture in enumerate(filter_pictures(net.layers["conv1"].weight)):
        assert np.array_equal(sprite[:, 5 * i : 5 * i + 5], picture)


def test_any_unicode_and_markup_in_names_stays_text(page):
    assert page.json("page")["classes"] == CLASSES
    assert "<b>dog" not in page.html
    assert "<script>alert" not in page.html
    assert "Accuracy <i>" in page.text
    assert "99 % & more" in page.text


def test_the_page_says_how_its_pictures_were_made(page):
    words = " ".join(page.text.split())
    assert BY_MAP.caption in words
    assert "23 (noise, val)" in words
    assert "12 in 2 layers" in words
    assert "combined by: sum" in words
    assert "cut off what is negative" in words


def test_the_same_world_gives_the_same_bytes(world, tmp_path):
    net, data, drawn = world
    log = [dict(epoch=1, train_loss=1, val_loss=1, train_accuracy=0.5, val_accuracy=0.5, learning_rate=0.1, seconds=1)]
    for name in "ab":
        write_atlas(tmp_path / name, net, drawn, data, log=log, progress=False)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert "data:image/png" in (tmp_path / "a").read_text(encoding="utf-8")


def test_other_rules_are_used_and_said(world, tmp_path):
    net, data, drawn = world
    write_atlas(tmp_path / "a", net, drawn, data, rule=BY_LAYER, rules=Rules("both", "max", "jacobian"), progress=False)
    other = Page((tmp_path / "a").read_text(encoding="utf-8"))
    high, wide = drawn[1].projections.shape[-2:]
    assert np.array_equal(other.picture("relu2", 4)[:high, :wide], coarse(BY_LAYER(drawn[1].projections))[4, 0])
    words = " ".join(other.text.split())
    assert BY_LAYER.caption in words
    assert "guided" in words
    assert "combined by: max" in words
    assert "derivative" in words


def test_grey_images_and_other_numbers_of_winners(tmp_path):
    net = small_net(channels=1)
    data = images(net)
    drawn = plate(net, data, "relu2", k=5)
    write_atlas(tmp_path / "a", net, [drawn], data, progress=False)
    page = Page((tmp_path / "a").read_text(encoding="utf-8"))
    high, wide = drawn.projections.shape[-2:]
    sprite = page.picture("relu2", 6)
    assert sprite.shape == (2 * high, 3 * wide, 3)
    assert np.array_equal(sprite[high:, wide : 2 * wide], coarse(BY_MAP(drawn.projections))[6, 4])


def test_what_cannot_be_an_atlas(world, tmp_path):
    net, data, drawn = world
    path = tmp_path / "atlas.html"
    with pytest.raises(ValueError, match="no plates came"):
        write_atlas(path, net, [], data, progress=False)
    with pytest.raises(ValueError, match="two plates of layer 'relu1'"):
        write_atlas(path, net, [drawn[0], drawn[0]], data, progress=False)
    other = plate(net, data, "relu1")
    other.layer = "relu9"
    with pytest.raises(ValueError, match="no layer 'relu9'"):
        write_atlas(path, net, [other], data, progress=False)
    broken = plate(net, data, "relu1")
    broken.projections[4, 7, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="projection 7 of map 4"):
        write_atlas(path, net, [broken], data, progress=False)
    assert not path.exists()


def test_json_cannot_leave_its_script():
    dangerous = ["</script>", "<!--", "\u2028", "\udc80", "é"]
    assert "<" not in script_json(dangerous)
    assert script_json(dangerous).isascii()
    assert json.loads(script_json(dangerous)) == dangerous


def test_names_that_are_no_text_do_not_stop_the_page(tmp_path):
    net = small_net()
    data = images(net)
    data.name, data.classes = "f\udc80older", [*CLASSES[:3], "\udcff"]
    write_atlas(tmp_path / "a", net, [plate(net, data, "relu1")], data, title="t\udc80", progress=False)
    assert Page((tmp_path / "a").read_text(encoding="utf-8")).json("page")["classes"][3] == "\udcff"
