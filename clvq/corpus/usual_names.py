"""Names that columns usually have, the likeliest first."""

TEXT_COLUMNS = (
    "text", "sentence", "review", "review_text", "review_body", "content", "document", "comment", "comment_text",
    "tweet", "utterance", "article", "message", "body", "title",
)  # fmt: skip
TEXT_PAIR_COLUMNS = (
    "text_pair", "sentence2", "hypothesis", "question2", "text2", "text_b", "passage", "answer", "response",
)  # fmt: skip
LABEL_COLUMNS = ("label", "labels", "sentiment", "class", "category", "target", "emotion", "intent", "topic")

OTHER_LABEL_COLUMNS = {
    "number": ("score", "rating", "stars"),
    "words": ("tags", "ner_tags", "pos_tags"),
}
"""Further names of label columns, by the form of the labels."""

HEADER_NAMES = {*TEXT_COLUMNS, *LABEL_COLUMNS, "id", "idx", "index"}
"""A first line that holds one of these is a header."""
