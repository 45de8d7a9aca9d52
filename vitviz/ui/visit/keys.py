"""The keys of all widgets. One that is bound to the address is its parameter there: such a name
stays, or links that people keep open something else."""

from __future__ import annotations

# Every page
LANGUAGE = "to_{}"  # a language
GALLERY = "gallery"
BROWSER_MEMORY = "browser_{}"  # what is kept
PHOTO_MENU, UPLOAD, CAMERA = "menu{}", "upload{}", "camera{}"  # how many photos were taken
PHOTO_SOURCE, PHOTO_ADDRESS, ADDRESS_FORM = "source", "url", "address"
MODEL_MENU, MODEL_SEARCH, MODEL_CHOICE = "choose_model", "model_search", "choose {}"  # a name

# Explore
METHOD, TARGET, VERSUS, QUERY = "method", "target", "versus", "query"
OPTION = "{}_{}"  # a method and one of its options
ATTENTION_LAYER, ATTENTION_HEAD = "attention_layer", "attention_head"
WHOLE, COLOURS, STRENGTH, SMOOTH = "whole", "colours", "strength", "smooth"
SHARED_SCALE, ARTEFACTS = "shared", "artefacts"
PATCH_MAP, SHEET, SHEET_VIEW = "patch_map", "sheet", "view"

# Journey
JOURNEY = "journey"

# Compare
METHODS, CHANGE, CURVE_STEP, BESIDE = "methods", "change", "step", "beside"
EXACT = "exact"
METHOD_MAPS = "maps_{}"  # a side
UNRANKED_MAPS = "maps_{}_{}"  # a side, and how many there are yet

# Heads
STATISTIC, OVER, MODE = "statistic", "over", "mode"
MATRIX, OPEN_MAP = "matrix", "open map"
MATRIX_SO_FAR = "matrix {}"  # how often it was drawn

# Every lesson
PRESENT, WORKSHEETS, WORKSHEET = "present", "worksheets", "worksheet_{}"  # with or without answers
NOTEBOOK = "notebook"
STEP, BACK, NEXT, SHOWN = "step", "back", "next", "shown"
ON, ANSWERED = "on", "answered_{}"  # to the next lesson; which question
LESSON_PHOTO, LESSON_LAYER, LESSON_HEAD = "lesson_photo", "in_layer", "in_head"
LESSON_MAPS = "{} maps"
AGAIN = "again"
CLASS_MENU, OPEN_CLASS, END_CLASS, ANSWERS = "class_menu", "open_class", "end_class", "answers"
REVEAL, LOWER_HANDS, TAKE_PATCH = "reveal {}", "lower_hands", "take {}"  # a question, a number
RAISE_HAND, SHOW_PATCH, FOLLOW_TEACHER = "raise_hand", "show_patch", "follow_teacher"
JOIN_FORM, CLASS_CODE, NICKNAME, JOIN = "join_form", "class_code", "nickname", "join"
LEAVE_CLASS = "leave_class"
MAP_MENU, COURSE_MAP = "map_menu", "course_map_{}"  # a place on the page

# Final exam
DRAW, DRAW_AGAIN, HAND_IN = "draw", "draw_again", "hand_in"
EXAM_QUESTION = "exam_{}_{}"  # which exam, and the question's number in the pool
PRINT_EXAM, EXAM_FILE = "print_exam", "exam_file_{}"  # with or without its key

# For teachers
TEACHERS_LESSON, TEACHERS_SHEET, TEACHERS_EXAM = "of_lesson", "sheet_file", "exam_number"
BOOKLET = "booklet"

# Glossary
TERM, TERM_SEARCH = "term", "term_search"

# Lessons up to the prediction
WRITTEN_WORD, SQUEEZED, ALIGNMENT = "written", "squeezed", "alignment"
FILTERS_SHOWN, CHANNEL, NUMBER, SIDE, PATCH_SIZE = (
    "filters",
    "channel",
    "number",
    "side",
    "patch_size",
)
OTHER_ROW, OTHER_COL = "other_row", "other_col"
DIVISOR, BY_HAND = "divisor", "hand_{}"  # a number of the table
TOKEN_MATRIX, SATURATION = "tokens_{}", "saturation"
HEADS_OF_WIDTH = "heads_of_width"
THROUGH, FOLLOW = "through", "follow"
ADDED, SCALE, LESSON_CLASS = "added", "scale", "of_class"

# Training
CLASSES, BLOCKS, VIEW_KINDS, STEPS, WARM_UP = "classes", "blocks", "kinds", "steps", "warmup"
HEAD_KIND, DROPOUT, ENTROPY_WEIGHT, POWER = "head_kind", "dropout", "lambda", "power"
TAKE_SAMPLES, TRAIN, TRAIN_BLOCK, TRAIN_QUICKLY = "take", "train", "narrow", "quick"
EDITED_CLASS, REMOVE_PHOTOS = "edited", "remove"
CLASS_NAME, CLASS_PHOTOS = "name{}.{}", "photos{}.{}"  # a class, and how often it was emptied

# Pretraining
DINO_STEPS, SHARP, CENTRED = "dino_steps", "sharp", "centred"
MASKED, LARGER = "masked", "larger"
RESIDUAL, REGULARISER = "residual", "regulariser"
ATTENTION_DROPOUT, WEIGHT_DECAY = "attention_dropout", "weight_decay"

# Convolutional networks
FILTER, PIECE, HIDDEN, MOVED = "filter", "piece", "hidden", "moved"
TASK_PIECE, TASK_HIDDEN, TASK_MOVED = "task_piece", "task_hidden", "task_moved"

# Cost, and beyond classification
COST_SIDE, OWN_SIDE = "cost_side", "own_side"
GROUPS, TEMPERATURE, OTHER_PHOTO = "groups", "clip", "other"
SECOND_MENU, SECOND_UPLOAD = "second_menu{}", "second{}"  # how many photos were taken

# Lessons 12 and 13
SENTENCE, SENTENCE_FIELD = "sentence", "sentence_field"  # in the address; the field
WORD, WORD_LAYER, WORD_HEAD = "word", "word_layer", "word_head"
WORD_MAP, WORD_PLACE, OTHER_WORD = "word_map", "looks_at", "other_word"
COMPARED, SENTENCES, OWN_SENTENCE = "compared", "sentences_{}", "own_sentence"  # a class
CAPTION, CAPTION_FIELD, RATHER_THAN = "caption", "caption_field", "rather_than"
ASKED_WORDS, WORDS_MAP = "asked_words", "words_map"
TAU, TAU_STEPS, PAIRS_AS = "tau", "tau_steps", "pairs_as"

# The outlook
BUDGET_SIDE, PATTERN, POOL_LAYER, PAIRS = "budget_side", "pattern", "pool_layer", "pairs"
BLOCK, ROPE_QUERY, ROPE_KEY = "block", "rope_query", "rope_key"
DECAY, SCAN = "decay", "scan"

# Detection
KEY_LAYER, COMPOSED, BOX_SHARE, QUERY_SHARPNESS = (
    "key_layer",
    "composed",
    "box_share",
    "query_sharpness",
)
CLICKS, CLICKED_KIND, CLICKS_MAP = "clicks", "clicked_kind", "clicks_map"
