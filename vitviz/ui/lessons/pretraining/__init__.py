"""Where a model's knowledge comes from, and how its training is kept steady."""

from vitviz.ui.course.lesson import Lesson, Step
from vitviz.ui.lessons.pretraining import (
    initialisation,
    input_resolution,
    label_supervision,
    masked_autoencoding,
    regularisation,
    self_distillation,
    strategies,
)

__all__ = ["LESSON"]

LESSON = Lesson(
    "pretraining",
    (
        Step(
            "supervised",
            label_supervision.supervised,
            formula=r"L = -\ln p_y \qquad \dfrac{\partial L}{\partial z_i} = p_i - y_i",
        ),
        Step(
            "dino",
            self_distillation.dino,
            guess=True,
            formula=r"L = -\sum_i p^{\mathrm{teacher}}_i \ln p^{\mathrm{student}}_i",
        ),
        Step("mae", masked_autoencoding.mae, guess=True),
        Step("four", strategies.four, guess=True),
        Step("resolution", input_resolution.resolution),
        Step(
            "initial",
            initialisation.initial,
            formula=r"\sigma^2_{l+1} = \dfrac{n\,\sigma_W^2}{2}\,\sigma^2_l",
        ),
        Step("regularise", regularisation.regularise),
        Step("freeze", strategies.freeze),
    ),
    regularisation.task,
    {
        "Caron et al. 2021: Emerging properties in self-supervised Vision Transformers (DINO)": "https://arxiv.org/abs/2104.14294",
        "He et al. 2021: Masked autoencoders are scalable vision learners": "https://arxiv.org/abs/2111.06377",
        "Radford et al. 2021: Learning from natural language supervision (CLIP)": "https://arxiv.org/abs/2103.00020",
        "Xie et al. 2022: Revealing the dark secrets of masked image modeling": "https://arxiv.org/abs/2205.13543",
        "He et al. 2015: Delving deep into rectifiers": "https://arxiv.org/abs/1502.01852",
        "Kumar et al. 2022: Fine-tuning can distort pretrained features": "https://arxiv.org/abs/2202.10054",
    },
)
