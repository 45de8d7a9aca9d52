"""The same photo in a Vision Transformer and in a convolutional network."""

from vitviz.ui.course.lesson import Lesson, Step
from vitviz.ui.lessons.cnn import accuracy, class_evidence, convolution, receptive_field, robustness

__all__ = ["LESSON"]

LESSON = Lesson(
    "cnn",
    (
        Step("slide", convolution.slide, formula=r"y_{r,c} = \sum_{i,j} W_{i,j}\, p_{r+i,\,c+j}"),
        Step("both", class_evidence.both, sample="cat-and-coffee"),
        Step(
            "field",
            receptive_field.field,
            guess=True,
            formula=r"r = 1 + \sum_l (k_l - 1) \prod_{m<l} s_m",
        ),
        Step("effective", receptive_field.effective),
        Step("shuffle", robustness.shuffle, guess=True),
        Step("hide", robustness.hide),
        Step("shift", robustness.shift, guess=True),
        Step("accuracy", accuracy.accuracy),
    ),
    robustness.task,
    {
        "Raghu et al. 2021: Do Vision Transformers see like CNNs?": "https://arxiv.org/abs/2108.08810",
        "Luo et al. 2016: The effective receptive field": "https://arxiv.org/abs/1701.04128",
        "Naseer et al. 2021: Intriguing properties of Vision Transformers": "https://arxiv.org/abs/2105.10497",
        "Zhang 2019: Making convolutional networks shift-invariant again": "https://arxiv.org/abs/1904.11486",
        "Liu et al. 2022: A ConvNet for the 2020s": "https://arxiv.org/abs/2201.03545",
        "Touvron et al. 2020: Training data-efficient image transformers": "https://arxiv.org/abs/2012.12877",
        "Kolesnikov et al. 2019: Big Transfer": "https://arxiv.org/abs/1912.11370",
    },
)
