"""What came after full attention."""

from vitviz.ui.course.lesson import Lesson, Step
from vitviz.ui.lessons.outlook import (
    flash_attention,
    linear_attention,
    mixing_cost,
    rotary_positions,
    sparse_attention,
    state_space,
    token_reduction,
)

__all__ = ["LESSON"]

LESSON = Lesson(
    "outlook",
    (
        Step(
            "budget",
            mixing_cost.budget,
            guess=True,
            formula=r"2\,n^2 w \quad 2\,n\,m\,w \quad 2\,n\,d\,w",
        ),
        Step("patterns", sparse_attention.patterns),
        Step(
            "linear",
            linear_attention.linear,
            formula=(
                r"\varphi(x) = \max(x, 0) + e^{\min(x, 0)}"
                r" \\ (\varphi(Q)\,\varphi(K)^{T})\, V = \varphi(Q)\,(\varphi(K)^{T} V)"
            ),
        ),
        Step("pool", token_reduction.pool),
        Step(
            "merge",
            token_reduction.merge,
            guess=True,
            formula=r"z_j = \dfrac{q \cdot k_j}{\sqrt{d}} + \ln s_j",
        ),
        Step(
            "flash",
            flash_attention.flash,
            guess=True,
            formula=(
                r"m' = \max(m, z) \\ \ell' = e^{m - m'}\,\ell + \sum e^{z - m'}"
                r" \\ \ell' o' = e^{m - m'}\,\ell\, o + \sum e^{z - m'} v"
            ),
        ),
        Step("rope", rotary_positions.rope, formula=r"(R_m q)\cdot(R_n k) = q \cdot R_{n-m}\, k"),
        Step("state", state_space.state, formula=r"h_t = a\,h_{t-1} + b\,x_t, \quad y_t = c\,h_t"),
    ),
    token_reduction.task,
    {
        "Liu et al. 2021: Swin Transformer": "https://arxiv.org/abs/2103.14030",
        "Beltagy et al. 2020: Longformer": "https://arxiv.org/abs/2004.05150",
        "Katharopoulos et al. 2020: Transformers are RNNs": "https://arxiv.org/abs/2006.16236",
        "Bolya et al. 2022: Token merging": "https://arxiv.org/abs/2210.09461",
        "Dao et al. 2022: FlashAttention": "https://arxiv.org/abs/2205.14135",
        "Su et al. 2021: RoFormer": "https://arxiv.org/abs/2104.09864",
        "Gu & Dao 2023: Mamba": "https://arxiv.org/abs/2312.00752",
    },
)
