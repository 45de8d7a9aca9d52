"""A pretrained model learns new classes."""

from vitviz.ui.course.lesson import Lesson, Step
from vitviz.ui.lessons.training import fine_tuning, hyperparameters

__all__ = ["LESSON"]

LESSON = Lesson(
    "training",
    (
        Step("freezing", hyperparameters.freezing, guess=True),
        Step("augment", hyperparameters.augment),
        Step(
            "warm_up",
            hyperparameters.warm_up,
            formula=r"\eta_s = \frac{\eta}{2}\,(1 + \cos(\pi\,\frac{s-u}{S-u}))",
        ),
        Step("beginning", hyperparameters.beginning, guess=True, formula=r"L = -\ln\, p_y"),
        Step("run", fine_tuning.run),
        Step("after", fine_tuning.after, guess=True),
        Step(
            "entropy", fine_tuning.entropy, formula=r"L = -\ln\, p_y + \lambda\, \dfrac{H}{\ln\, n}"
        ),
    ),
    fine_tuning.task,
    {
        "Touvron et al. 2020: Training data-efficient image transformers": "https://arxiv.org/abs/2012.12877",
        "Steiner et al. 2021: How to train your ViT?": "https://arxiv.org/abs/2106.10270",
        "Loshchilov & Hutter 2016: SGDR": "https://arxiv.org/abs/1608.03983",
    },
)
