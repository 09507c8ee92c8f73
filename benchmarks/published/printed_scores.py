"""Correlations that the papers print, and known reasons why others find different ones.

RBFLEX    Yamasaki et al., RBFleX-NAS, IEEE TNNLS 36(6), 2025, arXiv 2503.22733
RANK      Hsieh and Tsai, Rank-based Training-Free NAS Algorithm, 2023; its Table 1 is that of FreeREA (Cavagnero 2023)
SURVEY    Li et al., Zero-Shot Neural Architecture Search, TPAMI 2024, arXiv 2307.01998
"""

from __future__ import annotations

RBFLEX, RANK, SURVEY = "RBFleX-NAS", "Rank-based NAS", "the survey"

# RBFleX's Table I: space, data set, row -> (Pearson, Kendall), means over 10 draws of 1,000 networks, N = 16.
RBFLEX_TABLE_1: dict[tuple[str, str], dict[str, tuple[float, float]]] = {
    ("nats_tss", "cifar10"): {
        "grad_norm": (-0.009, 0.170),
        "snip": (0.003, 0.174),
        "synflow": (0.024, 0.296),
        "eproxy": (-0.280, -0.426),
        "zico": (0.529, 0.564),
        "das": (0.717, 0.372),
        "naswot": (0.727, 0.374),
        "te_nas": (0.051, 0.168),
        "rbflex": (0.898, 0.569),
    },
    ("nats_tss", "cifar100"): {
        "grad_norm": (0.034, 0.204),
        "snip": (0.049, 0.212),
        "synflow": (0.050, 0.346),
        "eproxy": (-0.878, -0.528),
        "zico": (0.636, 0.603),
        "das": (0.636, 0.406),
        "naswot": (0.638, 0.407),
        "te_nas": (0.095, 0.127),
        "rbflex": (0.723, 0.590),
    },
    ("nats_sss", "cifar10"): {
        "grad_norm": (0.606, 0.426),
        "snip": (0.698, 0.511),
        "synflow": (0.508, 0.718),
        "eproxy": (-0.346, -0.237),
        "zico": (0.907, 0.729),
        "das": (0.484, 0.318),
        "naswot": (0.484, 0.318),
        "te_nas": (-0.146, -0.114),
        "rbflex": (0.607, 0.419),
    },
    ("nats_sss", "cifar100"): {
        "grad_norm": (0.437, 0.317),
        "snip": (0.531, 0.394),
        "synflow": (0.453, 0.579),
        "eproxy": (0.376, 0.279),
        "zico": (0.738, 0.555),
        "das": (0.241, 0.159),
        "naswot": (0.241, 0.160),
        "te_nas": (-0.151, -0.122),
        "rbflex": (0.855, 0.639),
    },
}

# RBFleX's Tables IV and V: correlation with the accuracies of NAFBee's 11 networks, row -> (Pearson, Kendall), N = 16, M = 1.
RBFLEX_NAFBEE: dict[str, dict[str, tuple[float, float]]] = {
    "vgg19": {
        "rbflex": (0.623, 0.550),
        "naswot": (-0.384, -0.240),
        "te_nas": (-0.117, -0.367),
        "grad_norm": (0.708, 0.257),
        "snip": (-0.417, 0.220),
        "synflow": (-0.574, 0.019),
        "zico": (-0.255, -0.110),
    },
    "bert": {
        "rbflex": (0.906, 0.443),
        "naswot": (0.484, 0.135),
        "te_nas": (0.306, 0.058),
        "grad_norm": (0.433, 0.289),
        "snip": (0.436, 0.443),
        "synflow": (-0.434, -0.289),
        "zico": (0.425, 0.250),
    },
}

# RBFleX's Table II: space, task -> row -> (Pearson, Kendall), over the whole space, N = 16 images of Taskonomy.
RBFLEX_TABLE_2: dict[tuple[str, str], dict[str, tuple[float, float]]] = {
    ("transnas_macro", "class_object"): {"naswot": (0.734, 0.554), "rbflex": (0.740, 0.555)},
    ("transnas_micro", "class_object"): {"naswot": (0.598, 0.322), "rbflex": (0.461, 0.338)},
    ("transnas_macro", "segmentsemantic"): {"naswot": (0.854, 0.674), "rbflex": (0.853, 0.668)},
    ("transnas_micro", "segmentsemantic"): {"naswot": (0.592, 0.339), "rbflex": (0.547, 0.381)},
}

# RBFleX's Fig. 9: smallest and largest standard deviation of a network's normalised score over ten trials; None where the text has
# only the other one. For (b) of nats_sss the text says that means stay above -0.85, and gives no deviation.
RBFLEX_FIG_9: dict[tuple[str, str], tuple[float | None, float | None]] = {
    ("nats_sss", "seeds"): (4.1e-4, 8.2e-4),
    ("nats_tss", "seeds"): (None, 5.2e-3),
    ("nats_sss", "sizes"): (None, None),
    ("nats_tss", "sizes"): (None, 2.7e-2),
    ("nats_sss", "batches"): (4.6e-3, 2.9e-2),
    ("nats_tss", "batches"): (None, 2.8e-2),
}

# RBFleX's Figs. 10 and 11, nats_sss, CIFAR-10: (Pearson, Kendall), means over 10 draws of 1,000 networks.
RBFLEX_FIG_10: dict[str, tuple[float, float]] = {
    "rbf": (0.59, 0.41),
    "linear": (0.48, 0.40),
    "psnr": (0.40, 0.22),
    "ssim": (0.46, 0.27),
}
RBFLEX_FIG_11: dict[str, tuple[float, float]] = {"hda": (0.56, 0.39), "hda_max": (0.43, 0.26), "random": (0.46, 0.27)}
# P-values of its t-tests, HDA against the other rule: (Pearson, Kendall).
RBFLEX_FIG_11_P: dict[str, tuple[float, float]] = {"hda_max": (2.1e-5, 1.7e-10), "random": (5.0e-4, 6.6e-7)}

# Rank-based NAS's Table 1: row -> data set -> (Kendall, Spearman), the mean score of three initialisations.
RANK_TABLE_1: dict[str, dict[str, tuple[float, float]]] = {
    # Printed for the condition number itself, of which a small one is good; the sign here is that of our score, its negative.
    "ntk_cond": {"cifar10": (0.33, 0.49), "cifar100": (0.30, 0.45)},
    "snip": {"cifar10": (0.45, 0.61), "cifar100": (0.47, 0.62)},
    "fisher": {"cifar10": (0.39, 0.54), "cifar100": (0.40, 0.55)},
    "grasp": {"cifar10": (0.28, 0.41), "cifar100": (0.35, 0.50)},
    "naswot": {"cifar10": (0.61, 0.79), "cifar100": (0.62, 0.81)},
    "synflow": {"cifar10": (0.57, 0.77), "cifar100": (0.56, 0.76)},
    "logsynflow": {"cifar10": (0.61, 0.81), "cifar100": (0.60, 0.79)},
}

# The survey's Table IV: test accuracy on CIFAR-100 of the network that each score puts first in the whole space, and the best one.
SURVEY_TABLE_4: dict[str, dict[str, float]] = {
    "nats_tss": {
        "best": 73.51,
        "grad_norm": 60.02,
        "snip": 60.02,
        "grasp": 60.02,
        "gradsign": 60.02,
        "fisher": 60.02,
        "jacob_cov": 68.89,
        "synflow": 62.22,
        "zen": 68.10,
        "params": 71.11,
        "flops": 71.11,
    },
    "nats_sss": {
        "best": 70.92,
        "grad_norm": 48.44,
        "snip": 68.36,
        "grasp": 57.40,
        "gradsign": 57.40,
        "fisher": 53.14,
        "jacob_cov": 55.04,
        "synflow": 66.84,
        "zen": 69.92,
        "params": 70.28,
        "flops": 70.28,
    },
}

# What the survey's text says of its Figs. 6 and 8: which scores work best, and which keep their correlation among the top 5 %. Of
# nats_tss it says that every other one drops, of nats_sss that most of all scores do.
SURVEY_SAYS: dict[str, dict[str, tuple[str, ...]]] = {
    "nats_tss": {"best": ("params",), "kept": ("zen",)},
    "nats_sss": {"best": ("params", "zen"), "kept": ()},
}

# Why ours differs, by row and by what is compared, where a reason is known; said only where it does differ.
HEAVY_TAILED = "its sizes are heavy-tailed, so that a few networks decide Pearson's r; ours are another draw of them"
TE_NAS = "the paper does not say how TE-NAS's two numbers become one score; ours is the sum of their ranks"
TWO_BATCHES = "it divides by a deviation over batches; ours are the two halves of 16 images, the fewest possible"
EPROXY = "it trains towards a fixed random target; the paper gives neither the target nor the learning rate"
RBFLEX_REASONS: dict[str, dict[str, str]] = {
    "rbflex": {
        "Pearson": "r hangs on the ends of the range: cells without a path, which have no score here, and networks with fewer last "
        "features than N - 1, whose determinant is decided by a floor here and by round-off in the paper (see rbflex_ablations)",
    },
    "synflow": {
        "Pearson": "ours is the logarithm of the flow; the flow itself spans sixty powers of ten and a few networks decide its r",
        "Kendall": "a logarithm does not change Kendall's tau, so the paper ranks another quantity or loses digits of it",
    },
    "naswot": {
        "Pearson": "the paper's forward sees one image at a time and other layers",
        "Kendall": "FreeREA and Rank-based NAS print 0.61 and 0.62 for the same score on nats_tss",
    },
    "das": dict.fromkeys(("Pearson", "Kendall"), "as naswot, of whose matrix it is made"),
    "grad_norm": {"Pearson": HEAVY_TAILED},
    "snip": {"Pearson": HEAVY_TAILED},
    "zico": dict.fromkeys(("Pearson", "Kendall"), TWO_BATCHES),
    "te_nas": dict.fromkeys(("Pearson", "Kendall"), TE_NAS),
    "eproxy": dict.fromkeys(("Pearson", "Kendall"), EPROXY),
}
OTHER_NETWORK = "the published scripts score other networks than the benchmark's, of no task: see rbflex as published"
OTHER_IMAGES = "its images are smaller than the scripts' 512 pixels, and the paper's figure is of the whole space"
TABLE_2_REASONS: dict[str, dict[str, str]] = {
    "rbflex": dict.fromkeys(("Pearson", "Kendall"), OTHER_NETWORK),
    "naswot": dict.fromkeys(("Pearson", "Kendall"), OTHER_NETWORK),
    "rbflex as published": dict.fromkeys(("Pearson", "Kendall"), OTHER_IMAGES),
}
GRASP = "implementations differ in the sign and in what they sum, a product or its size"
NTK = "the condition number is that of one batch, here of 16 images, by the gradient of the sum of each image's outputs"
RANK_REASONS: dict[str, dict[str, str]] = {
    "grasp": dict.fromkeys(("Kendall", "Spearman"), GRASP),
    "ntk_cond": dict.fromkeys(("Kendall", "Spearman"), NTK),
}

NOT_REBUILT = {
    "tables": (
        "Not rebuilt: the ImageNet columns and Fig. 14 (there is no table of ImageNet16-120 after full training here), "
        "Fig. 12 (no table of the NDS spaces) and Fig. 17 (it trains networks)."
    ),
    "rank": "Not rebuilt: the ImageNet16-120 column (there is no table of it after 200 epochs here).",
    "survey": (
        "Not rebuilt: Figs. 7 and 9 and the Img16 rows of Table IV (there is no table of ImageNet16-120 after full training here). "
        "The survey draws Figs. 6 and 8 as bars without numbers, so ours are held against what its text says of them."
    ),
}
