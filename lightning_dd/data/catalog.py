"""Facts about the known data sets: shape, class names, and the channel statistics that papers normalize with.

Statistics are in [0, 1] pixel units, as `(mean, std)` with one number a channel: "published" of DC, DSA, DM and
DC-Bench, "frepo" of FRePo, "mtt" of MTT without ZCA whitening.
"""

from dataclasses import dataclass, field

Statistics = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True)
class DatasetInfo:
    """A data set as it is known before any file is read.

    Attributes:
        name: in snake case, as it stands in results and configs.
        image_shape: `(C, H, W)`.
        class_names: in label order.
        statistics: named channel means and standard deviations, in pixel units.
        num_train: training images of the published set.
    """

    name: str
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    statistics: dict[str, Statistics] = field(default_factory=dict)
    num_train: int | None = None


TEN_DIGITS = tuple(str(d) for d in range(10))

FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")

CIFAR10_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

CIFAR100_NAMES = tuple(
    """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
    caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant
    flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree
    motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate
    poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider
    squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
    wardrobe whale willow_tree wolf woman worm
    """.split()  # noqa: SIM905 (hundreds of lines as a literal)
)

# WordNet ids, used until the data itself is there and says the words for them.
TINY_IMAGENET_WNIDS = tuple(
    """
    n01443537 n01629819 n01641577 n01644900 n01698640 n01742172 n01768244 n01770393 n01774384 n01774750 n01784675
    n01855672 n01882714 n01910747 n01917289 n01944390 n01945685 n01950731 n01983481 n01984695 n02002724 n02056570
    n02058221 n02074367 n02085620 n02094433 n02099601 n02099712 n02106662 n02113799 n02123045 n02123394 n02124075
    n02125311 n02129165 n02132136 n02165456 n02190166 n02206856 n02226429 n02231487 n02233338 n02236044 n02268443
    n02279972 n02281406 n02321529 n02364673 n02395406 n02403003 n02410509 n02415577 n02423022 n02437312 n02480495
    n02481823 n02486410 n02504458 n02509815 n02666196 n02669723 n02699494 n02730930 n02769748 n02788148 n02791270
    n02793495 n02795169 n02802426 n02808440 n02814533 n02814860 n02815834 n02823428 n02837789 n02841315 n02843684
    n02883205 n02892201 n02906734 n02909870 n02917067 n02927161 n02948072 n02950826 n02963159 n02977058 n02988304
    n02999410 n03014705 n03026506 n03042490 n03085013 n03089624 n03100240 n03126707 n03160309 n03179701 n03201208
    n03250847 n03255030 n03355925 n03388043 n03393912 n03400231 n03404251 n03424325 n03444034 n03447447 n03544143
    n03584254 n03599486 n03617480 n03637318 n03649909 n03662601 n03670208 n03706229 n03733131 n03763968 n03770439
    n03796401 n03804744 n03814639 n03837869 n03838899 n03854065 n03891332 n03902125 n03930313 n03937543 n03970156
    n03976657 n03977966 n03980874 n03983396 n03992509 n04008634 n04023962 n04067472 n04070727 n04074963 n04099969
    n04118538 n04133789 n04146614 n04149813 n04179913 n04251144 n04254777 n04259630 n04265275 n04275548 n04285008
    n04311004 n04328186 n04356056 n04366367 n04371430 n04376876 n04398044 n04399382 n04417672 n04456115 n04465501
    n04486054 n04487081 n04501370 n04507155 n04532106 n04532670 n04540053 n04560804 n04562935 n04596742 n04597913
    n06596364 n07579787 n07583066 n07614500 n07615774 n07695742 n07711569 n07715103 n07720875 n07734744 n07747607
    n07749582 n07753592 n07768694 n07871810 n07873807 n07875152 n07920052 n09193705 n09246464 n09256479 n09332890
    n09428293 n12267677
    """.split()  # noqa: SIM905 (hundreds of lines as a literal)
)

CIFAR10_DC: Statistics = ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
CIFAR100_DC: Statistics = ((0.5071, 0.4866, 0.4409), (0.2673, 0.2564, 0.2762))
IMAGENET: Statistics = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
MNIST_ALL: Statistics = ((0.1307,), (0.3081,))
FASHION_ALL: Statistics = ((0.2861,), (0.3530,))

# No paper normalizes the digits: measured on the training part that `Digits` makes (tests/data checks them).
DIGITS = DatasetInfo("digits", (1, 8, 8), TEN_DIGITS, {"published": ((0.3059,), (0.3763,))})
MNIST = DatasetInfo("mnist", (1, 28, 28), TEN_DIGITS, {"published": MNIST_ALL, "frepo": MNIST_ALL}, 60_000)
FASHION_MNIST = DatasetInfo(
    "fashion_mnist", (1, 28, 28), FASHION, {"published": FASHION_ALL, "frepo": FASHION_ALL}, 60_000
)
SVHN_DC: Statistics = ((0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970))
SVHN = DatasetInfo("svhn", (3, 32, 32), TEN_DIGITS, {"published": SVHN_DC}, 73_257)
CIFAR10 = DatasetInfo(
    "cifar10",
    (3, 32, 32),
    CIFAR10_NAMES,
    # DC's deviations are the mean of per-image ones, FRePo's are those of the pixels.
    {"published": CIFAR10_DC, "mtt": CIFAR10_DC, "frepo": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))},
    50_000,
)
CIFAR100 = DatasetInfo(
    "cifar100",
    (3, 32, 32),
    CIFAR100_NAMES,
    # MTT normalizes CIFAR-100 with CIFAR-10's numbers.
    {"published": CIFAR100_DC, "mtt": CIFAR10_DC, "frepo": CIFAR100_DC},
    50_000,
)
TINY_IMAGENET = DatasetInfo(
    "tiny_imagenet",
    (3, 64, 64),
    TINY_IMAGENET_WNIDS,
    {"published": IMAGENET, "mtt": IMAGENET, "frepo": ((0.4759, 0.4481, 0.3926), (0.2763, 0.2687, 0.2813))},
    100_000,
)
