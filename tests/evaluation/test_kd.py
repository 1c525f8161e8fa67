"""Knowledge distillation: a teacher's labels for every augmented view."""

import math
from dataclasses import replace

import pytest
import torch

from lightning_dd.artifact.dataset import DistilledDataset, load
from lightning_dd.artifact.preprocessing import Normalization
from lightning_dd.augmentation.resized_crop import mirror_some, shuffle_patches
from lightning_dd.errors import UserError
from lightning_dd.evaluation import evaluate, find_protocol
from lightning_dd.evaluation.kd import teacher_of, teacher_recipe, teacher_tensors
from lightning_dd.networks import MLP, ConvNet, build
from lightning_dd.networks.named import sample_network

SHAPE = (1, 4, 4)
KD = find_protocol("kd", epochs=30)


def _images(per_class, seed=0):
    """Two classes that differ in the mean of each pixel."""
    draws = torch.Generator().manual_seed(seed)
    labels = torch.arange(2).repeat_interleave(per_class)
    return torch.rand(2 * per_class, *SHAPE, generator=draws) * 0.7 + 0.3 * labels.view(-1, 1, 1, 1), labels


def _mlp(shape, classes):
    return MLP(shape, classes, width=16)


def _teacher():
    """A network that knows the two classes: it was trained on many images."""
    network = build(_mlp, SHAPE, 2, torch.Generator().manual_seed(1))
    images, labels = _images(200, seed=5)
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(100):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(images - 0.5), labels).backward()
        optimizer.step()
    return network.eval()


@pytest.fixture(scope="module")
def distilled():
    teacher, (images, labels) = _teacher(), _images(5)
    tensors = teacher_tensors(teacher)
    recipe = {"protocol": "kd", "teacher": teacher_recipe(teacher, tensors)}
    return DistilledDataset(images, labels, ("a", "b"), Normalization([0.5], [1.0]), recipe=recipe, tensors=tensors)


def test_the_loss_is_the_divergence_of_softened_logits():
    protocol = replace(KD, temperature=2.0)
    logits, answers = torch.tensor([[2 * math.log(3), 0.0]]), torch.tensor([[0.0, 0.0]])
    # the teacher says (1/2, 1/2) and the network (3/4, 1/4)
    wanted = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    assert protocol.loss(logits, answers).item() == pytest.approx(wanted)
    assert protocol.loss(logits.bfloat16(), answers.bfloat16()).dtype == torch.float32
    assert KD.temperature == 20


def test_the_gradient_of_the_loss():
    logits, answers = torch.randn(2, 3, 4, dtype=torch.float64).unbind(0)
    assert torch.autograd.gradcheck(lambda values: KD.loss(values, answers), logits.requires_grad_())


def test_published_numbers():
    assert [KD._batch(number) for number in (1, 10, 11, 100, 500, 10_000)] == [10, 10, 50, 50, 100, 100]
    assert find_protocol("kd").epochs == 300
    cifar = find_protocol("kd", data="cifar100")
    assert (cifar._batch(1000), cifar.learning_rate) == (25, 2e-3)
    assert find_protocol("kd", data="tiny_imagenet")._batch(200) == 100
    resnet, vgg = (sample_network(name, (3, 32, 32), 100) for name in ("ResNet18", "VGG11"))
    cifar = find_protocol("kd", data="cifar100", network=lambda: resnet)
    assert [cifar._batch(number) for number in (100, 1000, 5000)] == [20, 100, 200]
    assert cifar.learning_rate == 1e-3
    assert find_protocol("kd", data="cifar10", network=lambda: vgg).learning_rate == 5e-4
    assert KD.num_steps(500) == 30 * 5
    factors = [KD.lr_factor(step, 500) for step in (0, 4, 5, 75, 149)]
    assert factors[:2] == [1, 1]
    assert factors[2:] == [pytest.approx((1 + math.cos(math.pi / 2 * epoch / 30)) / 2) for epoch in (1, 15, 29)]
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.Linear(2, 3))
    optimizer = KD.optimizer(network)
    assert isinstance(optimizer, torch.optim.AdamW)
    decays = {p: (group["lr"], group["weight_decay"]) for group in optimizer.param_groups for p in group["params"]}
    assert [decays[p] for p in network.parameters()] == [
        (1e-3, 0.01 if name in ("0.weight", "2.weight") else 0.0) for name, _ in network.named_parameters()
    ]


def test_the_teacher_answers_for_each_view(distilled):
    draws = torch.Generator().manual_seed(0)
    protocol = KD.bind(distilled.recipe)
    rows = [torch.arange(10), torch.arange(10)]
    augment = protocol.augment(None)
    batches = list(protocol.batches(distilled.prepared, distilled.labels, rows, distilled, augment, draws))
    (one, answers), (two, _) = batches
    assert not torch.equal(one, two)
    torch.testing.assert_close(answers, teacher_of(distilled)(one))
    assert not answers.requires_grad
    # mirrored and mixed, but made of the set's own pixels
    assert torch.isin(one, distilled.prepared).all()


def test_nothing_is_changed_without_augmentation(distilled):
    protocol = replace(KD.bind(distilled.recipe), augmentation=None)
    rows, draws = [torch.arange(10)], torch.Generator()
    batches = protocol.batches(distilled.prepared, distilled.labels, rows, distilled, protocol.augment(None), draws)
    ((views, _),) = batches
    assert torch.equal(views, distilled.prepared)


def test_digits_are_not_mirrored():
    images = torch.arange(32.0).view(2, 1, 4, 4)
    views = find_protocol("kd", data="mnist").augment(None)(images, torch.Generator())
    assert torch.equal(views, images)


def test_networks_learn_the_teacher_s_classes_whatever_the_labels_say(distilled):
    wrong = replace(distilled, labels=1 - distilled.labels)
    images, labels = _images(200, seed=9)
    real = _images(5, seed=7)
    test_set = distilled.preprocess(images), labels

    def draw(index):
        return distilled.preprocess(real[0]), 1 - real[1]

    protocol = replace(KD, epochs=100, learning_rate=0.01)
    found = evaluate(wrong, draw, test_set, _mlp, protocol, [0], seed=0)
    assert found.distilled[0] > 90
    assert found.random_real[0] > 90
    again = evaluate(wrong, None, test_set, _mlp, protocol, [0], seed=0)
    assert again.distilled == found.distilled


def test_networks_in_double_precision(distilled):
    torch.set_default_dtype(torch.float64)
    try:
        images, labels = _images(20)
        test_set = distilled.preprocess(images), labels
        assert evaluate(distilled, None, test_set, _mlp, find_protocol("kd", epochs=1), [0], seed=0).distilled
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(("half", "error"), [(False, 0), (True, 1e-3)])
def test_the_teacher_is_written_and_read(distilled, tmp_path, half, error):
    distilled.save(tmp_path / "set.safetensors", half)
    images, found = distilled.prepared, load(tmp_path / "set.safetensors")
    assert {tensor.dtype for tensor in found.teacher.values()} == {torch.float16 if half else torch.float32}
    answers = teacher_of(distilled)(images)
    torch.testing.assert_close(teacher_of(found)(images), answers, rtol=0, atol=error * answers.abs().max().item())


def test_a_set_without_a_teacher_is_refused(distilled):
    with pytest.raises(UserError, match="brings none"):
        KD.bind({"protocol": "dm"})
    foreign = {"teacher": {"network": {"class_path": "os.system", "init_args": {}}}}
    with pytest.raises(UserError, match=r"none of lightning_dd\.networks"):
        KD.bind(foreign)
    tensors = {name: tensor for name, tensor in distilled.tensors.items() if "bias" not in name}
    with pytest.raises(UserError, match="damaged"):
        teacher_of(replace(distilled, tensors=tensors))


def test_patches_change_places_and_keep_their_pixels():
    images = torch.arange(2 * 25.0).view(2, 1, 5, 5).repeat(50, 1, 1, 1)
    shuffled = shuffle_patches(images, 2, torch.Generator().manual_seed(0))
    assert torch.equal(shuffled.flatten(1).sort(1).values, images.flatten(1).sort(1).values)
    assert len({tuple(image.flatten().tolist()) for image in shuffled[::2]}) == 4  # two orders of rows, two of columns
    corner = shuffled[0, 0, :2, :2]
    assert any(torch.equal(corner, images[0, 0, i : i + 2, j : j + 2]) for i in (0, 2) for j in (0, 2))
    assert torch.equal(shuffled[:, :, 4, 4], images[:, :, 4, 4])


def test_patches_are_shuffled_for_tiled_sets_and_not_for_whole_images(distilled):
    tiles = {**distilled.recipe, "factor": 2}
    bound = KD.bind(tiles)
    assert (bound.factor, bound.smallest_crop) == (2, 0.5)
    real = bound.for_real()
    assert (real.factor, real.smallest_crop) == (1, 0.5)
    assert KD.bind({**tiles, "whole": True}) == real
    images = torch.rand(3, 1, 8, 8)
    assert bound.augment(None)(images, torch.Generator()).shape == images.shape


def test_about_half_are_mirrored():
    images = torch.arange(4.0).view(1, 1, 1, 4).repeat(1000, 1, 1, 1)
    mirrored = mirror_some(images, torch.Generator().manual_seed(0))[:, 0, 0, 0] == 3
    assert 450 < mirrored.sum() < 550


@pytest.mark.parametrize(("classes", "number", "batch"), [(100, 1, 20), (1000, 50, 200), (37, 1, 50), (None, 1, 50)])
def test_sets_of_many_classes_have_twice_as_many_in_a_step(classes, number, batch):
    recipe = {"teacher": {"network": ConvNet((3, 8, 8), 10).made_from, "classes": classes}}
    protocol = find_protocol("kd", data="photos", network=lambda: ConvNet((3, 8, 8), 10)).bind(recipe)
    assert protocol.steps_per_epoch((classes or 37) * number) == -(-(classes or 37) * number // batch)
