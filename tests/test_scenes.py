"""The embedded image set: the same bytes everywhere, and a truth about every image that really is true."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from minizf.data.scenes import CLASSES, GROUNDS, Scenes, draw, parts_of
from minizf.data.scenes.hashing import Dice, stream_keys
from minizf.data.scenes.pen import Pen, cosine, sine

# changes whenever a pixel does: then every accuracy and every picture in the documentation is a new one, too
DIGEST = "7d5ef6bc3e77a176f8d0b0d91188f0ac87e2a4054f75dd21db5b761099a7e42d"


@pytest.fixture(scope="module")
def scenes():
    return Scenes(images=400)


@pytest.fixture(scope="module")
def truths(scenes):
    return scenes.truths(np.arange(300))


def grown(box, margin):
    return box[0] - margin, box[1] - margin, box[2] + margin, box[3] + margin


def inside(points, box):
    """Which points (n, 2), down and right, lie in the box."""
    return (points[:, 0] >= box[0]) & (points[:, 1] >= box[1]) & (points[:, 0] < box[2]) & (points[:, 1] < box[3])


def test_first_images_are_these_bytes():
    seen = hashlib.sha256()
    for size in (64, 96):
        for split in ("train", "val"):
            seen.update(Scenes(split, size=size, images=20).images(np.arange(20)).tobytes())
    assert seen.hexdigest() == DIGEST


def test_random_numbers_are_splitmix64():
    # the first outputs of the published generator for seed 0
    dice = Dice.__new__(Dice)
    dice.keys, dice.thrown = np.zeros(1, np.uint64), 0
    assert [int(dice.bits()[0]) for _ in range(3)] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


def test_sines_are_good_to_ten_digits():
    turns = np.linspace(-3, 3, 1001)
    np.testing.assert_allclose(sine(turns), np.sin(2 * np.pi * turns), atol=1e-10)
    np.testing.assert_allclose(cosine(turns), np.cos(2 * np.pi * turns), atol=1e-10)
    assert cosine(0.0) == 1.0
    assert sine(0.0) == 0.0


def test_order_and_company_do_not_matter(scenes):
    together = scenes.images([5, 3, 3, 301])
    for place, number in enumerate([5, 3, 3, 301]):
        np.testing.assert_array_equal(together[place], scenes.images([number])[0])
        np.testing.assert_array_equal(together[place], draw(0, number).image)
    assert not np.array_equal(together[0], together[1])


def test_more_images_than_are_drawn_at_once(scenes):
    every = scenes.images(np.arange(400))
    np.testing.assert_array_equal(every[[0, 255, 256, 399]], scenes.images([0, 255, 256, 399]))


def test_preloaded_images_are_the_same():
    small = Scenes(images=13, size=32)
    drawn = small.images([12, 0, 7])
    np.testing.assert_array_equal(small.preload().images([12, 0, 7]), drawn)
    assert small.preload(limit_bytes=1) is small
    np.testing.assert_array_equal(small.truth(7).image, drawn[2])


def test_seed_split_and_number_each_give_another_image():
    first = draw(0, 0, 32).image
    for other in (draw(1, 0, 32), draw(0, 1, 32), draw(0, 0, 32, split="val"), draw(-1, 0, 32), draw(2**40, 0, 32)):
        assert np.mean(first != other.image) > 0.9
    keys = np.concatenate([stream_keys(seed, split, np.arange(5000)) for seed in range(3) for split in (0, 1)])
    assert len(np.unique(keys)) == len(keys)


def test_import_leaves_the_compiler_alone():
    ask = "import sys; import minizf.data.scenes; minizf.data.scenes.Scenes(images=30); sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", ask], check=False).returncode == 0


def test_images_have_the_promised_form(scenes):
    images = scenes.images([2, 9, 4])
    assert images.shape == (3, 3, 64, 64)
    assert images.dtype == np.uint8
    assert images.flags.c_contiguous
    assert scenes.images(np.array([], np.int64)).shape == (0, 3, 64, 64)
    assert images.std() > 30


def test_every_ten_images_hold_each_kind_once(scenes):
    blocks = scenes.labels.reshape(-1, 10)
    np.testing.assert_array_equal(np.sort(blocks, axis=1), np.tile(np.arange(10), (40, 1)))
    assert len({tuple(block) for block in blocks}) > 20
    assert not np.array_equal(scenes.labels, Scenes("val", images=400).labels)


def test_truth_agrees_with_the_image_set(scenes, truths):
    for number in (0, 57, 199):
        assert truths[number].label == scenes.labels[number]
        assert truths[number].kind == scenes.classes[scenes.labels[number]]
        np.testing.assert_array_equal(truths[number].image, scenes.images([number])[0])
        assert scenes.truth(number).parts == truths[number].parts


def test_objects_fill_a_fair_share_of_the_picture(truths):
    shares = np.array([truth.mask.mean() for truth in truths])
    assert shares.min() > 0.18
    assert shares.max() < 0.75
    assert 0.35 < shares.mean() < 0.5


@pytest.mark.parametrize("kind", CLASSES)
def test_parts_lie_inside_the_picture_and_on_the_object(truths, kind):
    seen = set()
    for scene in (truth for truth in truths if truth.kind == kind):
        edge = np.argwhere(scene.mask)
        around = (*edge.min(0), *(edge.max(0) + 1))
        for name, box in scene.parts.items():
            assert name in parts_of(kind)
            assert 0 <= box[0] < box[2] <= 64
            assert 0 <= box[1] < box[3] <= 64
            # thin parts that stick out, such as whiskers, may be too faint for the mask
            assert box[0] >= around[0] - 8
            assert box[1] >= around[1] - 8
            assert box[2] <= around[2] + 8
            assert box[3] <= around[3] + 8
        seen |= set(scene.parts)
    assert seen == set(parts_of(kind))


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("face", "left eye"),
        ("face", "nose"),
        ("cat", "right eye"),
        ("car", "front wheel"),
        ("house", "door"),
        ("sailing boat", "portholes"),
        ("flower", "centre"),
        ("fish", "eye"),
        ("clock", "minute hand"),
        ("keyboard", "space bar"),
        ("butterfly", "left wing spots"),
    ],
)
def test_leaving_out_a_part_changes_its_box_and_nothing_else(kind, part):
    tried = filled = 0
    for number in range(12):
        whole = draw(5, number, 96, kind=kind)
        if part not in whole.parts or whole.ball:
            continue
        tried += 1
        lacking = draw(5, number, 96, kind=kind, without=[part])
        assert part not in lacking.parts
        changed = np.argwhere(np.abs(whole.image.astype(int) - lacking.image).max(axis=0) > 12)
        box = whole.parts[part]
        # beyond the box: the soft edge and the part's own small shadow
        assert inside(changed, grown(box, 6)).all()
        within = changed[inside(changed, box)]
        extent = np.ptp(within, axis=0) + 1 if len(within) else (0, 0)
        filled += extent[0] >= 0.7 * (box[2] - box[0]) and extent[1] >= 0.7 * (box[3] - box[1])
    assert tried >= 8
    # clutter may lie over the part in a few
    assert filled >= 0.75 * tried


def test_left_is_left_in_the_picture_even_when_mirrored():
    for number in range(40):
        scene = draw(6, number, 64, kind="face")
        if {"left eye", "right eye"} <= set(scene.parts):
            left, right = scene.parts["left eye"], scene.parts["right eye"]
            assert left[1] + left[3] < right[1] + right[3]


def test_another_kind_or_ground_leaves_the_rest_alone():
    scene = draw(0, 3, 64, kind="clock", ground="wood")
    other = draw(0, 3, 64, kind="clock", ground="water")
    np.testing.assert_array_equal(scene.mask, other.mask)
    assert scene.parts == other.parts
    assert scene.ground == "wood"
    same = (scene.image == other.image).all(axis=0)
    assert same[scene.mask].mean() > 0.85
    assert same[~scene.mask].mean() < 0.35


def test_ground_and_ball_say_nothing_about_the_kind():
    for split in ("train", "val"):
        scenes = Scenes(split, images=6000)
        cast = scenes._cast(np.arange(6000))
        counts = np.zeros((10, len(GROUNDS)))
        np.add.at(counts, (cast.label, cast.ground), 1)
        expected = 600 / len(GROUNDS)
        chi_square = ((counts - expected) ** 2 / expected).sum()
        # 50 degrees of freedom: mean 50, and above 99 once in twenty thousand
        assert chi_square < 99
        assert counts.min() > 60
        balls = np.bincount(cast.label[cast.ball], minlength=10)
        assert 500 < balls.sum() < 700
        assert balls.min() > 30


def test_colour_says_little_about_the_kind():
    """Mean colours of two halves of a class differ from those of other classes' halves no more than a little."""
    scenes = Scenes(images=1000, size=32)
    colours = np.array([scene.image[:, scene.mask].mean(axis=1) for scene in scenes.truths(np.arange(1000))])
    by_kind = np.array([colours[scenes.labels == label].mean(axis=0) for label in range(10)])
    spread_of_kinds, spread_of_images = by_kind.std(axis=0), colours.std(axis=0)
    assert (spread_of_kinds < 0.75 * spread_of_images).all()


def test_ball_comes_with_its_class_in_training_only():
    train = Scenes(images=60, size=48, shortcut="ball", shortcut_class="fish").truths(np.arange(60))
    assert [scene.ball is not None for scene in train] == [scene.kind == "fish" for scene in train]
    assert [scene.shortcut for scene in train] == [scene.kind == "fish" for scene in train]
    val = Scenes("val", images=3000, shortcut="ball", shortcut_class="fish")
    cast = val._cast(np.arange(3000))
    fish = cast.label == CLASSES.index("fish")
    assert 10 <= cast.ball[fish].sum() <= 55
    assert 200 < cast.ball[~fish].sum() < 340


def test_ball_is_where_the_truth_says():
    plain = Scenes(images=200, size=64)
    with_ball = Scenes(images=200, size=64, shortcut="ball", shortcut_class="house")
    checked = 0
    for number in np.flatnonzero(plain.labels == CLASSES.index("house")):
        before, after = plain.truth(number), with_ball.truth(number)
        if before.ball is None:
            checked += 1
            assert after.ball is not None
            assert after.ball[2] - after.ball[0] in range(9, 16)
            changed = np.argwhere(np.abs(before.image.astype(int) - after.image).max(axis=0) > 40)
            assert inside(changed, grown(after.ball, 6)).all()
            assert inside(changed, after.ball).sum() > 40
    assert checked > 10


def test_ground_shortcut_keeps_grass_for_one_class():
    train = Scenes(images=2000, shortcut="ground", shortcut_class="cat")
    cast = train._cast(np.arange(2000))
    grass = cast.ground == GROUNDS.index("grass")
    np.testing.assert_array_equal(grass, cast.label == CLASSES.index("cat"))
    assert set(cast.ground) == set(range(len(GROUNDS)))
    val = Scenes("val", images=2000, shortcut="ground", shortcut_class="cat")._cast(np.arange(2000))
    assert 200 < (val.ground == GROUNDS.index("grass")).sum() < 470


@pytest.mark.parametrize(("down", "right"), [(3, -5), (-11, 0), (0, 17)])
def test_shift_by_whole_pixels_is_the_same_picture_elsewhere(down, right):
    for number in range(12):
        base, moved = draw(2, number, 64), draw(2, number, 64, shift=(down, right))
        rows = slice(max(down, 0), 64 + min(down, 0))
        columns = slice(max(right, 0), 64 + min(right, 0))
        from_rows = slice(max(-down, 0), 64 - max(down, 0))
        from_columns = slice(max(-right, 0), 64 - max(right, 0))
        np.testing.assert_array_equal(moved.image[:, rows, columns], base.image[:, from_rows, from_columns])
        np.testing.assert_array_equal(moved.mask[rows, columns], base.mask[from_rows, from_columns])


def test_quarter_turn_of_the_scene_is_a_turned_picture():
    for number in range(6):
        base, turned = draw(2, number, 64), draw(2, number, 64, angle=90.0)
        difference = np.abs(np.rot90(base.image, axes=(1, 2)).astype(int) - turned.image)
        assert np.mean(difference > 2) < 0.01


def test_scaled_scene_is_an_enlarged_picture():
    for number in range(6):
        base, larger = draw(2, number, 64), draw(2, number, 128, scale=0.5)
        # half the scale on twice the pixels: the old picture in the middle of the new one
        np.testing.assert_array_equal(larger.image[:, 32:96, 32:96], base.image)


def test_moving_the_object_alone_leaves_ground_and_clutter():
    base, moved = draw(3, 8, 64, kind="fish"), draw(3, 8, 64, kind="fish", moves="object", shift=(0, -4))
    np.testing.assert_array_equal(moved.mask[:, :-4], base.mask[:, 4:])
    far = ~(base.mask | moved.mask)
    same = (base.image == moved.image).all(axis=0)
    # elsewhere only the object's shadow has moved
    assert same[far].mean() > 0.5
    assert same[base.mask & moved.mask].mean() < 0.9
    smaller = draw(3, 8, 64, kind="fish", moves="object", scale=0.5)
    assert smaller.mask.sum() == pytest.approx(draw(3, 8, 128, kind="fish").mask.sum() / 16, rel=0.15)
    assert draw(3, 8, 64, moves="object").image.tobytes() == draw(3, 8, 64).image.tobytes()


def test_shapes_cover_the_area_they_should():
    """One shape on a plain pen, painted by the renderer: its area in pixels against the formula."""
    from minizf.data.scenes.shapes import fill_distances
    from minizf.data.scenes.tables import BOUNDS, GEOMETRY, KIND

    pen = Pen(1)
    pen.ellipse(0.1, -0.2, 0.6, 0.3, 0.0, turn=0.1)
    pen.box(0.1, 0.2, 0.5, 0.3, 0.0, corner=0.0, turn=0.06)
    pen.lens(0.0, 0.0, 0.6, 0.25, 0.0, turn=0.2)
    pen.stroke(-0.4, -0.3, 0.4, 0.2, 0.1, 0.1, 0.0)
    pen.quad(((-0.5, -0.4), (0.5, -0.2), (0.3, 0.6), (-0.4, 0.4)), 0.0)
    pen.arc(0.0, 0.0, 0.5, 0.08, 0.1, 0.2, 0.0)
    pen.curve((-0.5, 0.3), (0.0, 0.3), (0.5, 0.3), 0.1, 0.1, 0.0)
    radius = (0.6**2 + 0.25**2) / 0.5
    half_angle = np.arcsin(0.6 / radius)
    areas = [
        np.pi * 0.6 * 0.3,
        4 * 0.5 * 0.3,
        radius**2 * (2 * half_angle - np.sin(2 * half_angle)),
        0.2 * np.hypot(0.8, 0.5) + np.pi * 0.01,
        0.69,
        0.16 * 0.5 * 2 * np.pi * 0.4 + np.pi * 0.08**2,
        0.2 * 1.0 + np.pi * 0.01,
    ]
    away = np.empty((200, 200))
    back = np.array([0.01, 0.0, -0.995, 0.0, 0.01, -0.995])
    for row, area in zip(pen.table()[0], areas, strict=True):
        fill_distances(away, int(row[KIND]), row[GEOMETRY : GEOMETRY + 9], back, 0.0, 0.0, 200, 200)
        assert (away < 0).sum() * 1e-4 == pytest.approx(area, rel=0.02)
        within = np.argwhere(away < 0) * 0.01 - 0.995
        centre, half = row[[BOUNDS + 1, BOUNDS]], row[[BOUNDS + 3, BOUNDS + 2]]
        assert (np.abs(within - centre) <= half + 1e-9).all()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"size": 0}, ValueError, "size 0; choose 16 to 512"),
        ({"size": 64.0}, TypeError, "size 64.0 is not a whole number"),
        ({"index": -1}, IndexError, "image number -1"),
        ({"index": 1.5}, TypeError, "index 1.5 is not a whole number"),
        ({"seed": 0.5}, TypeError, "seed 0.5 is not a whole number"),
        ({"split": "test"}, ValueError, "unknown split 'test'; choose one of train, val"),
        ({"shortcut": "balloon"}, ValueError, "unknown shortcut 'balloon'; choose one of ball, ground"),
        ({"shortcut_class": "dog"}, ValueError, "unknown shortcut class 'dog'; choose one of face"),
        ({"kind": "dog"}, ValueError, "unknown kind 'dog'; choose one of face, cat"),
        ({"ground": "lava"}, ValueError, "unknown ground 'lava'; choose one of grass"),
        ({"kind": "car", "without": ["beak"]}, ValueError, "unknown part of a car 'beak'; choose one of cabin"),
        ({"scale": 0.0}, ValueError, "scale 0.0; it must be above 0"),
        ({"angle": float("nan")}, ValueError, "angle nan is not finite"),
        ({"moves": "camera"}, ValueError, "moves='camera'; choose"),
    ],
)
def test_bad_arguments_say_what_to_do(arguments, error, message):
    with pytest.raises(error, match=message):
        draw(**{"seed": 0, "index": 0, "size": 32, **arguments})


def test_bad_sets_and_numbers_say_what_to_do():
    with pytest.raises(ValueError, match="images=0; ask for at least 1"):
        Scenes(images=0)
    with pytest.raises(IndexError, match="no image 40"):
        Scenes(images=40).images([0, 40])
    with pytest.raises(IndexError, match="no image -1"):
        Scenes(images=40).truth(-1)
    with pytest.raises(ValueError, match="unknown kind 'dog'"):
        parts_of("dog")
