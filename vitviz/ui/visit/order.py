"""The order of the lessons. Their numbers follow from it, everywhere: a text that names a lesson by
its number says {lesson_ID}."""

COURSE = (
    "idea",
    "tokens",
    "positions",
    "attention",
    "matrix",
    "manyheads",
    "layers",
    "prediction",
    "training",
    "pretraining",
    "cnn",
    "cost",
    "words",
    "captions",
    "beyond",
    "detection",
    "outlook",
)
NUMBERS = {lesson: number for number, lesson in enumerate(COURSE)}
